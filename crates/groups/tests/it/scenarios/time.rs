//! Time-outs, and what survives a new coordinator.

use crate::script::check;

#[test]
fn session_ends() {
    check(
        "
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > sync g @1 gen=1 @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #2 sync NONE a
        > at 6000
        > beat g @1 gen=1
        #3 beat NONE
        > at 15999
        > at 16000
        16000 log group g gen=2 type=consumer protocol=null leader=null since=16000
        > beat g @1 gen=2
        #4 beat UNKNOWN_MEMBER_ID
        ",
    );
}

#[test]
fn commits_keep_a_session() {
    check(
        "
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > sync g @1 gen=1 @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #2 sync NONE a
        > at 6000
        > commit g @1 gen=1 t-0=1
        log offset g t-0 1 v4
        #3 commit t-0=NONE
        > at 15999
        > at 16000
        16000 log group g gen=2 type=consumer protocol=null leader=null since=16000
        ",
    );
}

#[test]
fn waiting_keeps_a_session_but_not_a_new_members() {
    check(
        "
        > join g v=3 rebalance=400000
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > sync g @1 gen=1 @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #2 sync NONE a
        > join g v=3 rebalance=400000
        > at 9000
        > beat g @1 gen=1
        #4 beat REBALANCE_IN_PROGRESS
        > at 18000
        > join g id=@1 rebalance=400000
        #5 join @1 gen=2 consumer/range leader=@1 @1 @3
        #3 join @3 gen=2 consumer/range leader=@1
        > at 20000
        > sync g @3 gen=2
        > at 100000
        28000 #6 sync REBALANCE_IN_PROGRESS
        38000 log group g gen=3 type=consumer protocol=null leader=null since=38000
        > beat g @3 gen=2
        #7 beat UNKNOWN_MEMBER_ID
        > describe g
        #8 describe g Empty consumer/- NONE
        ",
    );
}

#[test]
fn new_member_waits_five_minutes() {
    check(
        "
        > join g v=3 rebalance=600000 session=1000000
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > sync g @1 gen=1 @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #2 sync NONE a
        > join g v=3 rebalance=600000
        > at 299999
        > at 300000
        300000 #3 join UNKNOWN_MEMBER_ID -
        > describe g
        #4 describe g PreparingRebalance consumer/- NONE @1=a
        ",
    );
}

#[test]
fn sessions_start_anew_when_loaded() {
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
        > at 9000
        > reload
        > describe g
        #6 describe g Stable consumer/range NONE @1=a @2=b
        > at 12000
        > beat g @1 gen=2
        #7 beat NONE
        > at 19000
        > join g id=@1
        #8 join @1 gen=3 consumer/range leader=@1 @1
        > sync g @1 gen=3 @1=ab
        log group g gen=3 type=consumer protocol=range leader=@1 since=19000 @1=ab
        #9 sync NONE ab
        > reload
        > sync g @1 gen=3
        #10 sync NONE ab
        ",
    );
}

#[test]
fn waiting_requests_are_told_of_the_end() {
    check(
        "
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > sync g @1 gen=1 @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #2 sync NONE a
        > join g v=3
        > join h v=3
        log group h gen=0 type=- protocol=null leader=null since=0
        #4 join @4 gen=1 consumer/range leader=@4 @4
        > join h v=3
        > join h id=@4
        #6 join @4 gen=2 consumer/range leader=@4 @4 @5
        #5 join @5 gen=2 consumer/range leader=@4
        > sync h @5 gen=2
        > reload
        #3 join NOT_COORDINATOR @3
        #7 sync NOT_COORDINATOR
        > describe g h
        #8 describe g Stable consumer/range NONE @1=a h Empty -/- NONE
        ",
    );
}
