//! Static membership (KIP-345, KIP-814).

use crate::script::check;

#[test]
fn comes_back_without_a_rebalance() {
    check(
        "
        > join g instance=i
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1/i
        > sync g @1 gen=1 @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #2 sync NONE a
        > join g instance=i
        log group g gen=1 type=consumer protocol=range leader=@3 since=0 @3=a
        #3 join @3 gen=1 consumer/range leader=@3 skip @3/i
        > beat g @1 gen=1 instance=i
        #4 beat FENCED_INSTANCE_ID
        > beat g @1 gen=1
        #5 beat UNKNOWN_MEMBER_ID
        > beat g @3 gen=1 instance=i
        #6 beat NONE
        > sync g @3 gen=1 instance=i
        #7 sync NONE a
        > commit g @1 gen=1 instance=i t-0=1
        #8 commit t-0=FENCED_INSTANCE_ID
        > commit g @3 gen=1 instance=i t-0=1
        log offset g t-0 1 v4
        #9 commit t-0=NONE
        > describe g
        #10 describe g Stable consumer/range NONE @3=a
        ",
    );
}

#[test]
fn follower_comes_back() {
    check(
        "
        > join g instance=i
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1/i
        > join g instance=j
        > join g id=@1 instance=i
        #3 join @1 gen=2 consumer/range leader=@1 @1/i @2/j
        #2 join @2 gen=2 consumer/range leader=@1
        > sync g @1 gen=2 @1=a @2=b
        log group g gen=2 type=consumer protocol=range leader=@1 since=0 @1=a @2=b
        #4 sync NONE a
        > sync g @2 gen=2
        #5 sync NONE b
        > join g instance=j
        log group g gen=2 type=consumer protocol=range leader=@1 since=0 @1=a @6=b
        #6 join @6 gen=2 consumer/range leader=@1
        > join g v=8 instance=j
        log group g gen=2 type=consumer protocol=range leader=@1 since=0 @1=a @7=b
        #7 join @7 gen=2 consumer/range leader=@1
        > join g v=8 instance=i
        log group g gen=2 type=consumer protocol=range leader=@8 since=0 @8=a @7=b
        #8 join @8 gen=2 consumer/range leader=@1
        ",
    );
}

#[test]
fn comes_back_with_another_protocol() {
    check(
        "
        > join g instance=i protocols=a,b
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/a leader=@1 @1/i
        > sync g @1 gen=1 protocol=a @1=a
        log group g gen=1 type=consumer protocol=a leader=@1 since=0 @1=a
        #2 sync NONE a
        > join g instance=i protocols=b
        #3 join @3 gen=2 consumer/b leader=@3 @3/i
        > sync g @3 gen=2 protocol=b @3=b
        log group g gen=2 type=consumer protocol=b leader=@3 since=0 @3=b
        #4 sync NONE b
        ",
    );
}

#[test]
fn comes_back_while_the_assignment_is_made() {
    check(
        "
        > join g instance=i
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1/i
        > join g instance=j
        > join g id=@1 instance=i
        #3 join @1 gen=2 consumer/range leader=@1 @1/i @2/j
        #2 join @2 gen=2 consumer/range leader=@1
        > sync g @2 gen=2
        > join g instance=j
        #4 sync FENCED_INSTANCE_ID
        > join g id=@1 instance=i
        #6 join @1 gen=3 consumer/range leader=@1 @1/i @5/j
        #5 join @5 gen=3 consumer/range leader=@1
        ",
    );
}

#[test]
fn comes_back_while_joins_are_gathered() {
    check(
        "
        > join g instance=i
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1/i
        > sync g @1 gen=1 @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #2 sync NONE a
        > join g instance=j
        > join g instance=j
        #3 join FENCED_INSTANCE_ID @3
        > join g instance=i
        #5 join @5 gen=2 consumer/range leader=@5 @5/i @4/j
        #4 join @4 gen=2 consumer/range leader=@5
        ",
    );
}

#[test]
fn old_self_is_fenced_wherever_it_waits() {
    check(
        "
        > join g instance=i
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1/i
        > sync g @1 gen=1 @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #2 sync NONE a
        > join g v=3
        > join g v=6 instance=i
        #3 join @3 gen=2 consumer/range leader=@4
        #4 join @4 gen=2 consumer/range leader=@4 @3 @4/i
        > join g instance=i
        > join g id=@3
        #6 join @3 gen=3 consumer/range leader=@5
        #5 join @5 gen=3 consumer/range leader=@5 @3 @5/i
        ",
    );
}

#[test]
fn away_members_hold_their_place_until_their_session_ends() {
    check(
        "
        > join g instance=i
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1/i
        > join g instance=j session=60000 rebalance=5000
        > join g id=@1 instance=i rebalance=5000
        #3 join @1 gen=2 consumer/range leader=@1 @1/i @2/j
        #2 join @2 gen=2 consumer/range leader=@1
        > sync g @1 gen=2 @1=a @2=b instance=i
        log group g gen=2 type=consumer protocol=range leader=@1 since=0 @1=a @2=b
        #4 sync NONE a
        > sync g @2 gen=2 instance=j
        #5 sync NONE b
        > join g id=@1 instance=i rebalance=5000
        > at 5000
        5000 #6 join @1 gen=3 consumer/range leader=@1 @1/i @2/j
        > sync g @1 gen=3 @1=a @2=b instance=i
        log group g gen=3 type=consumer protocol=range leader=@1 since=5000 @1=a @2=b
        #7 sync NONE a
        > at 9000
        > beat g @1 gen=3
        #8 beat NONE
        > at 14000
        > describe g
        #9 describe g PreparingRebalance consumer/- NONE @1=a
        ",
    );
}

#[test]
fn nobody_joins_but_static_members_hold_on() {
    check(
        "
        > join g instance=i session=40000 rebalance=5000
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1/i
        > sync g @1 gen=1 @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #2 sync NONE a
        > join g v=3 session=6000 rebalance=5000
        > leave g @3
        #3 join UNKNOWN_MEMBER_ID - protocol=
        #4 leave NONE @3=NONE
        > at 7000
        > at 50000
        40000 log group g gen=2 type=consumer protocol=null leader=null since=40000
        ",
    );
}

#[test]
fn removed_by_an_administrator() {
    check(
        "
        > join g instance=i
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1/i
        > join g instance=j
        > join g id=@1 instance=i
        #3 join @1 gen=2 consumer/range leader=@1 @1/i @2/j
        #2 join @2 gen=2 consumer/range leader=@1
        > sync g @1 gen=2 @1=a @2=b
        log group g gen=2 type=consumer protocol=range leader=@1 since=0 @1=a @2=b
        #4 sync NONE a
        > sync g @2 gen=2
        #5 sync NONE b
        > leave g instance=i instance=k
        #6 leave NONE -/i=NONE -/k=UNKNOWN_MEMBER_ID
        > describe g
        #7 describe g PreparingRebalance consumer/- NONE @2=b
        > leave g @2/k @2/j @9
        log group g gen=3 type=consumer protocol=null leader=null since=0
        #8 leave NONE @2/k=UNKNOWN_MEMBER_ID @2/j=NONE @9=UNKNOWN_MEMBER_ID
        > describe g
        #9 describe g Empty consumer/- NONE
        ",
    );
}

#[test]
fn wrong_instance() {
    check(
        "
        > join g instance=i
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1/i
        > sync g @1 gen=1 instance=k
        #2 sync UNKNOWN_MEMBER_ID
        > sync g @1 gen=1 instance=i @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #3 sync NONE a
        > beat g @1 gen=1 instance=k
        #4 beat UNKNOWN_MEMBER_ID
        > join g id=@1 instance=k
        #5 join UNKNOWN_MEMBER_ID @1
        > join g id=nobody instance=i
        #6 join FENCED_INSTANCE_ID nobody
        > leave g nobody/i
        #7 leave NONE nobody/i=FENCED_INSTANCE_ID
        ",
    );
}

#[test]
fn instance_that_left_may_come_anew() {
    check(
        "
        > join g instance=i
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1/i
        > sync g @1 gen=1 @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #2 sync NONE a
        > leave g @1/i
        log group g gen=2 type=consumer protocol=null leader=null since=0
        #3 leave NONE @1/i=NONE
        > join g instance=i
        #4 join @4 gen=3 consumer/range leader=@4 @4/i
        > beat g @4 gen=3 instance=i
        #5 beat NONE
        ",
    );
}

#[test]
fn comes_back_before_it_has_synced() {
    check(
        "
        > join g instance=i session=60000
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1/i
        > join g instance=j session=60000
        > join g id=@1 instance=i session=60000
        #3 join @1 gen=2 consumer/range leader=@1 @1/i @2/j
        #2 join @2 gen=2 consumer/range leader=@1
        > sync g @1 gen=2 @1=a @2=b
        log group g gen=2 type=consumer protocol=range leader=@1 since=0 @1=a @2=b
        #4 sync NONE a
        > at 20000
        > join g instance=j session=60000
        log group g gen=2 type=consumer protocol=range leader=@1 since=0 @1=a @5=b
        #5 join @5 gen=2 consumer/range leader=@1
        > at 40000
        > describe g
        #6 describe g Stable consumer/range NONE @1=a @5=b
        > beat g @1 gen=2
        #7 beat NONE
        > at 51000
        > describe g
        #8 describe g PreparingRebalance consumer/- NONE @1=a
        ",
    );
}

#[test]
fn comes_back_with_more_than_a_batch_can_hold() {
    check(
        "
        > join g instance=i
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1/i
        > sync g @1 gen=1 @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #2 sync NONE a
        > config batch=300
        > join g instance=i topics=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        #3 join @3 gen=2 consumer/range leader=@3 @3/i
        ",
    );
}

#[test]
fn session_begins_anew_when_it_comes_back() {
    check(
        "
        > join g instance=i
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1/i
        > sync g @1 gen=1 @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #2 sync NONE a
        > at 9000
        > join g instance=i
        log group g gen=1 type=consumer protocol=range leader=@3 since=0 @3=a
        #3 join @3 gen=1 consumer/range leader=@3 skip @3/i
        > at 18999
        > describe g
        #4 describe g Stable consumer/range NONE @3=a
        > at 19000
        19000 log group g gen=2 type=consumer protocol=null leader=null since=19000
        ",
    );
}
