//! The making of generations.

use crate::script::check;

#[test]
fn leader_leaves() {
    check(
        "
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > join g v=3
        > join g id=@1
        #3 join @1 gen=2 consumer/range leader=@1 @1 @2
        #2 join @2 gen=2 consumer/range leader=@1
        > sync g @1 gen=2 @1=a @2=b
        log group g gen=2 type=consumer protocol=range leader=@1 since=0 @1=a @2=b
        #4 sync NONE a
        > sync g @2 gen=2
        #5 sync NONE b
        > leave g @1
        #6 leave NONE @1=NONE
        > beat g @2 gen=2
        #7 beat REBALANCE_IN_PROGRESS
        > join g id=@2
        #8 join @2 gen=3 consumer/range leader=@2 @2
        > sync g @2 gen=3 @2=ab
        log group g gen=3 type=consumer protocol=range leader=@2 since=0 @2=ab
        #9 sync NONE ab
        > describe g
        #10 describe g Stable consumer/range NONE @2=ab
        ",
    );
}

#[test]
fn leave_while_joins_are_gathered() {
    check(
        "
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > join g v=3
        > leave g @1
        #2 join @2 gen=2 consumer/range leader=@2 @2
        #3 leave NONE @1=NONE
        > leave g @2
        log group g gen=3 type=consumer protocol=null leader=null since=0
        #4 leave NONE @2=NONE
        > describe g
        #5 describe g Empty consumer/- NONE
        ",
    );
}

#[test]
fn leave_while_the_assignment_is_made() {
    check(
        "
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > join g v=3
        > join g id=@1
        #3 join @1 gen=2 consumer/range leader=@1 @1 @2
        #2 join @2 gen=2 consumer/range leader=@1
        > sync g @2 gen=2
        > leave g @2
        #4 sync UNKNOWN_MEMBER_ID
        #5 leave NONE @2=NONE
        > sync g @1 gen=2 @1=a @2=b
        #6 sync REBALANCE_IN_PROGRESS
        > join g id=@1
        #7 join @1 gen=3 consumer/range leader=@1 @1
        ",
    );
}

#[test]
fn join_while_the_assignment_is_made() {
    check(
        "
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > join g v=3
        > join g id=@1
        #3 join @1 gen=2 consumer/range leader=@1 @1 @2
        #2 join @2 gen=2 consumer/range leader=@1
        > sync g @2 gen=2
        > join g v=3
        #4 sync REBALANCE_IN_PROGRESS
        > sync g @1 gen=2 @1=a @2=b
        #6 sync REBALANCE_IN_PROGRESS
        > beat g @1 gen=2
        #7 beat REBALANCE_IN_PROGRESS
        > commit g @1 gen=2 t-0=1
        log offset g t-0 1 v4
        #8 commit t-0=NONE
        > join g id=@1
        > join g id=@2
        #9 join @1 gen=3 consumer/range leader=@1 @1 @2 @5
        #10 join @2 gen=3 consumer/range leader=@1
        #5 join @5 gen=3 consumer/range leader=@1
        > commit g @1 gen=3 t-0=1
        #11 commit t-0=REBALANCE_IN_PROGRESS
        > beat g @1 gen=3
        #12 beat NONE
        ",
    );
}

#[test]
fn members_who_do_not_rejoin_are_out() {
    check(
        "
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > join g v=3
        > join g id=@1
        #3 join @1 gen=2 consumer/range leader=@1 @1 @2
        #2 join @2 gen=2 consumer/range leader=@1
        > sync g @1 gen=2 @1=a @2=b
        log group g gen=2 type=consumer protocol=range leader=@1 since=0 @1=a @2=b
        #4 sync NONE a
        > sync g @2 gen=2
        #5 sync NONE b
        > at 5000
        > join g v=3 rebalance=20000
        > beat g @1 gen=2
        #7 beat REBALANCE_IN_PROGRESS
        > at 9000
        > beat g @2 gen=2
        #8 beat REBALANCE_IN_PROGRESS
        > join g id=@2 rebalance=20000
        > at 14000
        > beat g @1 gen=2
        #10 beat REBALANCE_IN_PROGRESS
        > at 23000
        > beat g @1 gen=2
        #11 beat REBALANCE_IN_PROGRESS
        > at 32000
        > beat g @1 gen=2
        #12 beat REBALANCE_IN_PROGRESS
        > at 34999
        > at 35000
        35000 #9 join @2 gen=3 consumer/range leader=@2 @2 @6
        35000 #6 join @6 gen=3 consumer/range leader=@2
        > beat g @1 gen=2
        #13 beat UNKNOWN_MEMBER_ID
        > sync g @2 gen=3 @2=x @6=y
        log group g gen=3 type=consumer protocol=range leader=@2 since=35000 @2=x @6=y
        #14 sync NONE x
        > sync g @6 gen=3
        #15 sync NONE y
        > describe g
        #16 describe g Stable consumer/range NONE @2=x @6=y
        ",
    );
}

#[test]
fn members_who_do_not_sync_are_out() {
    check(
        "
        > join g v=3 session=60000
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > join g v=3 session=60000
        > join g id=@1 session=60000
        #3 join @1 gen=2 consumer/range leader=@1 @1 @2
        #2 join @2 gen=2 consumer/range leader=@1
        > at 1000
        > sync g @1 gen=2 @1=a @2=b
        log group g gen=2 type=consumer protocol=range leader=@1 since=0 @1=a @2=b
        #4 sync NONE a
        > at 30000
        > describe g
        #5 describe g PreparingRebalance consumer/- NONE @1=a
        > join g id=@1
        #6 join @1 gen=3 consumer/range leader=@1 @1
        ",
    );
}

#[test]
fn leader_who_does_not_sync_is_out() {
    check(
        "
        > join g v=3 session=60000
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > join g v=3 session=60000
        > join g id=@1 session=60000
        #3 join @1 gen=2 consumer/range leader=@1 @1 @2
        #2 join @2 gen=2 consumer/range leader=@1
        > sync g @2 gen=2
        > at 30000
        30000 #4 sync REBALANCE_IN_PROGRESS
        > describe g
        #5 describe g PreparingRebalance consumer/- NONE @2=
        > join g id=@2
        #6 join @2 gen=3 consumer/range leader=@2 @2
        ",
    );
}

#[test]
fn pending_member_holds_up_a_rebalance_until_it_is_forgotten() {
    check(
        "
        > join g v=3 session=20000
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > sync g @1 gen=1 @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #2 sync NONE a
        > join g session=8000
        #3 join MEMBER_ID_REQUIRED @3
        > join g id=@1 session=20000
        > at 5000
        > at 8000
        8000 #4 join @1 gen=2 consumer/range leader=@1 @1
        ",
    );
}

#[test]
fn pending_member_may_leave() {
    check(
        "
        > join g
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join MEMBER_ID_REQUIRED @1
        > leave g @1
        #2 leave NONE @1=NONE
        > join g id=@1
        #3 join UNKNOWN_MEMBER_ID @1
        > describe g
        #4 describe g Empty -/- NONE
        ",
    );
}

#[test]
fn initial_delay_gathers_members() {
    check(
        "
        > config delay=3000
        > join g v=3 rebalance=7000
        log group g gen=0 type=- protocol=null leader=null since=0
        > at 2000
        > join g v=3 rebalance=7000
        > at 4000
        > join g v=3 rebalance=7000
        > at 6500
        > join g v=3 rebalance=7000
        > at 20000
        7000 #1 join @1 gen=1 consumer/range leader=@1 @1 @2 @3 @4
        7000 #2 join @2 gen=1 consumer/range leader=@1
        7000 #3 join @3 gen=1 consumer/range leader=@1
        7000 #4 join @4 gen=1 consumer/range leader=@1
        14000 log group g gen=2 type=consumer protocol=null leader=null since=14000
        ",
    );
}

#[test]
fn initial_delay_ends_when_nobody_comes() {
    check(
        "
        > config delay=3000
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        > leave g @1
        #1 join UNKNOWN_MEMBER_ID - protocol=
        #2 leave NONE @1=NONE
        > at 3000
        3000 log group g gen=1 type=consumer protocol=null leader=null since=3000
        > describe g
        #3 describe g Empty consumer/- NONE
        ",
    );
}

#[test]
fn everyone_is_gone() {
    check(
        "
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > join g v=3
        > join g id=@1
        #3 join @1 gen=2 consumer/range leader=@1 @1 @2
        #2 join @2 gen=2 consumer/range leader=@1
        > sync g @1 gen=2 @1=a @2=b
        log group g gen=2 type=consumer protocol=range leader=@1 since=0 @1=a @2=b
        #4 sync NONE a
        > sync g @2 gen=2
        #5 sync NONE b
        > at 10000
        10000 log group g gen=3 type=consumer protocol=null leader=null since=10000
        > describe g
        #6 describe g Empty consumer/- NONE
        > join g v=3
        #7 join @7 gen=4 consumer/range leader=@7 @7
        ",
    );
}

#[test]
fn before_version_5_a_sync_names_no_protocol() {
    check(
        "
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > sync g @1 gen=1 v=4 type=- protocol=- @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #2 sync NONE a
        ",
    );
}

#[test]
fn rebalance_while_a_follower_has_not_synced() {
    check(
        "
        > join g v=3 session=60000
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > join g v=3 session=60000
        > join g id=@1 session=60000
        #3 join @1 gen=2 consumer/range leader=@1 @1 @2
        #2 join @2 gen=2 consumer/range leader=@1
        > sync g @1 gen=2 @1=a @2=b
        log group g gen=2 type=consumer protocol=range leader=@1 since=0 @1=a @2=b
        #4 sync NONE a
        > at 25000
        > join g v=3 session=60000
        > at 31000
        > describe g
        #6 describe g PreparingRebalance consumer/- NONE @1=a @2=b @5=
        > join g id=@2 session=60000
        > join g id=@1 session=60000
        #8 join @1 gen=3 consumer/range leader=@1 @1 @2 @5
        #7 join @2 gen=3 consumer/range leader=@1
        #5 join @5 gen=3 consumer/range leader=@1
        > describe g
        #9 describe g CompletingRebalance consumer/- NONE @1=a @2=b @5=
        ",
    );
}

#[test]
fn follower_who_waits_outlives_its_session() {
    check(
        "
        > join g v=3 session=20000
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > join g v=3 session=6000
        > join g id=@1 session=20000
        #3 join @1 gen=2 consumer/range leader=@1 @1 @2
        #2 join @2 gen=2 consumer/range leader=@1
        > sync g @2 gen=2
        > at 10000
        > sync g @1 gen=2 @1=a @2=b
        log group g gen=2 type=consumer protocol=range leader=@1 since=0 @1=a @2=b
        #5 sync NONE a
        #4 sync NONE b
        > at 15999
        > at 16000
        > beat g @1 gen=2
        #6 beat REBALANCE_IN_PROGRESS
        > beat g @2 gen=2
        #7 beat UNKNOWN_MEMBER_ID
        ",
    );
}

#[test]
fn member_who_left_without_sync_does_not_hold_up_the_next_generation() {
    check(
        "
        > join g v=3 session=60000
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > join g v=3 session=60000
        > join g id=@1 session=60000
        #3 join @1 gen=2 consumer/range leader=@1 @1 @2
        #2 join @2 gen=2 consumer/range leader=@1
        > leave g @2
        #4 leave NONE @2=NONE
        > join g id=@1 session=60000
        #5 join @1 gen=3 consumer/range leader=@1 @1
        > sync g @1 gen=3 @1=a
        log group g gen=3 type=consumer protocol=range leader=@1 since=0 @1=a
        #6 sync NONE a
        > at 29999
        > beat g @1 gen=3
        #7 beat NONE
        > at 59999
        > beat g @1 gen=3
        #8 beat NONE
        ",
    );
}

#[test]
fn assignment_of_an_abandoned_generation_is_gone() {
    check(
        "
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > sync g @1 gen=1 @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #2 sync NONE a
        > join g id=@1
        #3 join @1 gen=2 consumer/range leader=@1 @1
        > describe g
        #4 describe g CompletingRebalance consumer/- NONE @1=a
        > join g v=3
        > describe g
        #6 describe g PreparingRebalance consumer/- NONE @1= @5=
        ",
    );
}

#[test]
fn assignment_that_no_batch_can_hold() {
    check(
        "
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > join g v=3
        > join g id=@1
        #3 join @1 gen=2 consumer/range leader=@1 @1 @2
        #2 join @2 gen=2 consumer/range leader=@1
        > config batch=400
        > sync g @2 gen=2
        > sync g @1 gen=2 @1=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        #5 sync UNKNOWN_SERVER_ERROR
        #4 sync UNKNOWN_SERVER_ERROR
        > describe g
        #6 describe g PreparingRebalance consumer/- NONE @1= @2=
        > beat g @1 gen=2
        #7 beat REBALANCE_IN_PROGRESS
        > join g id=@1
        > join g id=@2
        #8 join @1 gen=3 consumer/range leader=@1 @1 @2
        #9 join @2 gen=3 consumer/range leader=@1
        > sync g @1 gen=3 @1=a
        log group g gen=3 type=consumer protocol=range leader=@1 since=0 @1=a @2=
        #10 sync NONE a
        ",
    );
}

#[test]
fn initial_delay_begins_afresh() {
    check(
        "
        > config delay=3000
        > join g v=3 rebalance=3000
        log group g gen=0 type=- protocol=null leader=null since=0
        > join g v=3 rebalance=3000
        > at 3000
        3000 #1 join @1 gen=1 consumer/range leader=@1 @1 @2
        3000 #2 join @2 gen=1 consumer/range leader=@1
        > leave g @1 @2
        log group g gen=2 type=consumer protocol=null leader=null since=3000
        #3 leave NONE @1=NONE @2=NONE
        > join g v=3 rebalance=7000
        > at 9000
        6000 #4 join @4 gen=3 consumer/range leader=@4 @4
        ",
    );
}
