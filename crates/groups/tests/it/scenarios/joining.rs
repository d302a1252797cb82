//! Who is let into a group, and as whom.

use crate::script::check;

#[test]
fn first_member() {
    check(
        "
        > join g
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join MEMBER_ID_REQUIRED @1
        > join g id=@1
        #2 join @1 gen=1 consumer/range leader=@1 @1
        > sync g @1 gen=1 @1=x
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=x
        #3 sync NONE x
        > beat g @1 gen=1
        #4 beat NONE
        > describe g
        #5 describe g Stable consumer/range NONE @1=x
        > leave g @1
        log group g gen=2 type=consumer protocol=null leader=null since=0
        #6 leave NONE @1=NONE
        > describe g
        #7 describe g Empty consumer/- NONE
        ",
    );
}

#[test]
fn before_version_4_no_id_is_asked_for() {
    check(
        "
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > sync g @1 gen=1 @1=x
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=x
        #2 sync NONE x
        > beat g @1 gen=1
        #3 beat NONE
        ",
    );
}

#[test]
fn version_0_rebalances_within_the_session_timeout() {
    check(
        "
        > join g v=0 session=7000 rebalance=-1
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > sync g @1 gen=1 @1=x
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=x
        #2 sync NONE x
        > join g v=0 session=6000 rebalance=-1
        > at 5000
        > beat g @1 gen=1
        #4 beat REBALANCE_IN_PROGRESS
        > at 8000
        7000 #3 join @3 gen=2 consumer/range leader=@3 @3
        ",
    );
}

#[test]
fn second_member_rebalances() {
    check(
        "
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > sync g @1 gen=1 @1=x
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=x
        #2 sync NONE x
        > join g
        #3 join MEMBER_ID_REQUIRED @3
        > beat g @1 gen=1
        #4 beat NONE
        > join g id=@3
        > beat g @1 gen=1
        #6 beat REBALANCE_IN_PROGRESS
        > join g id=@1
        #7 join @1 gen=2 consumer/range leader=@1 @1 @3
        #5 join @3 gen=2 consumer/range leader=@1
        > sync g @3 gen=2
        > sync g @1 gen=2 @1=x1 @3=x2
        log group g gen=2 type=consumer protocol=range leader=@1 since=0 @1=x1 @3=x2
        #9 sync NONE x1
        #8 sync NONE x2
        > beat g @3 gen=2
        #10 beat NONE
        > beat g @1 gen=2
        #11 beat NONE
        > beat g @1 gen=1
        #12 beat ILLEGAL_GENERATION
        > describe g
        #13 describe g Stable consumer/range NONE @1=x1 @3=x2
        ",
    );
}

#[test]
fn refusals() {
    check(
        "
        > join -
        #1 join INVALID_GROUP_ID -
        > join g session=5999
        #2 join INVALID_SESSION_TIMEOUT -
        > join g session=1800001
        #3 join INVALID_SESSION_TIMEOUT -
        > join g id=nobody
        #4 join UNKNOWN_MEMBER_ID nobody
        > list
        #5 list
        > join g type=
        log group g gen=0 type=- protocol=null leader=null since=0
        #6 join INCONSISTENT_GROUP_PROTOCOL -
        > join g protocols=
        #7 join INCONSISTENT_GROUP_PROTOCOL -
        > list
        #8 list g(-,Empty,classic)
        > join g v=3
        #9 join @9 gen=1 consumer/range leader=@9 @9
        > join g type=connect
        #10 join INCONSISTENT_GROUP_PROTOCOL -
        > join g protocols=other
        #11 join INCONSISTENT_GROUP_PROTOCOL -
        > join g id=nobody
        #12 join UNKNOWN_MEMBER_ID nobody
        > sync g nobody gen=1
        #13 sync UNKNOWN_MEMBER_ID
        > sync - nobody gen=1
        #14 sync INVALID_GROUP_ID
        > sync h nobody gen=1
        #15 sync UNKNOWN_MEMBER_ID
        > sync g @9 gen=0
        #16 sync ILLEGAL_GENERATION
        > sync g @9 gen=1 protocol=other
        #17 sync INCONSISTENT_GROUP_PROTOCOL
        > sync g @9 gen=1 type=other
        #18 sync INCONSISTENT_GROUP_PROTOCOL
        > sync g @9 gen=1 type=-
        #19 sync INCONSISTENT_GROUP_PROTOCOL
        > sync g @9 gen=1 protocol=-
        #20 sync INCONSISTENT_GROUP_PROTOCOL
        > sync h nobody gen=7 protocol=-
        #21 sync INCONSISTENT_GROUP_PROTOCOL
        > beat g nobody gen=1
        #22 beat UNKNOWN_MEMBER_ID
        > beat - nobody gen=1
        #23 beat INVALID_GROUP_ID
        > beat h nobody gen=1
        #24 beat UNKNOWN_MEMBER_ID
        > beat g @9 gen=0
        #25 beat ILLEGAL_GENERATION
        > leave g nobody
        #26 leave NONE nobody=UNKNOWN_MEMBER_ID
        > leave - nobody
        #27 leave INVALID_GROUP_ID
        > leave h nobody
        #28 leave NONE nobody=UNKNOWN_MEMBER_ID
        > leave h v=2 nobody
        #29 leave UNKNOWN_MEMBER_ID
        > leave g v=2 nobody
        #30 leave UNKNOWN_MEMBER_ID
        > leave g v=2 @9
        log group g gen=2 type=consumer protocol=null leader=null since=0
        #31 leave NONE
        ",
    );
}

#[test]
fn protocol_null_only_where_the_version_has_it() {
    check(
        "
        > join g v=6 id=nobody
        #1 join UNKNOWN_MEMBER_ID nobody protocol=
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #2 join @2 gen=1 consumer/range leader=@2 @2
        > join g v=6 id=nobody
        #3 join UNKNOWN_MEMBER_ID nobody protocol=
        > join g v=7 id=nobody
        #4 join UNKNOWN_MEMBER_ID nobody
        ",
    );
}

#[test]
fn group_that_is_full() {
    check(
        "
        > config max_size=2
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > join g v=3
        > join g id=@1
        #3 join @1 gen=2 consumer/range leader=@1 @1 @2
        #2 join @2 gen=2 consumer/range leader=@1
        > join g v=3
        #4 join GROUP_MAX_SIZE_REACHED - protocol=
        > sync g @2 gen=2
        > sync g @1 gen=2 @1=a @2=b
        log group g gen=2 type=consumer protocol=range leader=@1 since=0 @1=a @2=b
        #6 sync NONE a
        #5 sync NONE b
        > join g v=3
        #7 join GROUP_MAX_SIZE_REACHED - protocol=
        > join g id=@1 protocols=range
        ",
    );
}

#[test]
fn limit_lowered_while_members_are_in() {
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
        > sync g @1 gen=2 @1=a @2=b
        log group g gen=2 type=consumer protocol=range leader=@1 since=0 @1=a @2=b
        #5 sync NONE a
        #4 sync NONE b
        > config max_size=1
        > reload
        > beat g @1 gen=2
        #6 beat REBALANCE_IN_PROGRESS
        > join g id=@2
        > join g id=@1
        #8 join GROUP_MAX_SIZE_REACHED -
        > at 30000
        30000 #7 join @2 gen=3 consumer/range leader=@2 @2
        ",
    );
}

#[test]
fn protocol_that_all_support_and_most_prefer() {
    check(
        "
        > join g v=3 protocols=a,b,c
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/a leader=@1 @1
        > join g v=3 protocols=b,c,a
        > join g id=@1 protocols=c,b,x
        #3 join @1 gen=2 consumer/b leader=@1 @1 @2
        #2 join @2 gen=2 consumer/b leader=@1
        > join g v=3 protocols=a
        #4 join INCONSISTENT_GROUP_PROTOCOL - protocol=
        ",
    );
}

#[test]
fn rejoin_with_nothing_new() {
    check(
        "
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > join g v=3
        > join g id=@1
        #3 join @1 gen=2 consumer/range leader=@1 @1 @2
        #2 join @2 gen=2 consumer/range leader=@1
        > join g id=@1
        #4 join @1 gen=2 consumer/range leader=@1 @1 @2
        > join g id=@2
        #5 join @2 gen=2 consumer/range leader=@1
        > sync g @1 gen=2 @1=a @2=b
        log group g gen=2 type=consumer protocol=range leader=@1 since=0 @1=a @2=b
        #6 sync NONE a
        > sync g @2 gen=2
        #7 sync NONE b
        > join g id=@2
        #8 join @2 gen=2 consumer/range leader=@1
        > sync g @2 gen=2
        #9 sync NONE b
        > join g id=@1
        > beat g @2 gen=2
        #11 beat REBALANCE_IN_PROGRESS
        > join g id=@2
        #10 join @1 gen=3 consumer/range leader=@1 @1 @2
        #12 join @2 gen=3 consumer/range leader=@1
        ",
    );
}

#[test]
fn rejoin_with_something_new() {
    check(
        "
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > join g v=3
        > join g id=@1
        #3 join @1 gen=2 consumer/range leader=@1 @1 @2
        #2 join @2 gen=2 consumer/range leader=@1
        > join g id=@2 topics=u
        > join g id=@1
        #5 join @1 gen=3 consumer/range leader=@1 @1 @2
        #4 join @2 gen=3 consumer/range leader=@1
        > sync g @2 gen=3
        > sync g @1 gen=3 @1=a @2=b
        log group g gen=3 type=consumer protocol=range leader=@1 since=0 @1=a @2=b
        #7 sync NONE a
        #6 sync NONE b
        > join g id=@2 protocols=range,sticky topics=u
        > join g id=@1
        #9 join @1 gen=4 consumer/range leader=@1 @1 @2
        #8 join @2 gen=4 consumer/range leader=@1
        ",
    );
}

#[test]
fn a_join_that_is_sent_again() {
    check(
        "
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > join g v=3
        > join g v=3
        > join g id=@2
        #2 join REBALANCE_IN_PROGRESS @2 protocol=
        > join g id=@2
        #4 join REBALANCE_IN_PROGRESS @2
        > join g id=@1
        #6 join @1 gen=2 consumer/range leader=@1 @1 @2 @3
        #5 join @2 gen=2 consumer/range leader=@1
        #3 join @3 gen=2 consumer/range leader=@1
        > sync g @2 gen=2
        > sync g @2 gen=2
        #7 sync REBALANCE_IN_PROGRESS
        > join g id=@3
        #9 join @3 gen=2 consumer/range leader=@1
        > join g id=@2
        #10 join @2 gen=2 consumer/range leader=@1
        ",
    );
}

#[test]
fn id_that_was_given_cannot_become_static() {
    check(
        "
        > join g
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join MEMBER_ID_REQUIRED @1
        > join g id=@1 instance=i
        #2 join UNKNOWN_SERVER_ERROR -
        > join g id=@1
        #3 join @1 gen=1 consumer/range leader=@1 @1
        ",
    );
}

#[test]
fn full_group_takes_its_own_members_joins_again() {
    check(
        "
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > join g v=3
        > join g id=@1
        #3 join @1 gen=2 consumer/range leader=@1 @1 @2
        #2 join @2 gen=2 consumer/range leader=@1
        > join g v=3
        > join g id=@1
        > join g id=@2
        #5 join @1 gen=3 consumer/range leader=@1 @1 @2 @4
        #6 join @2 gen=3 consumer/range leader=@1
        #4 join @4 gen=3 consumer/range leader=@1
        > sync g @1 gen=3 @1=a @2=b @4=c
        log group g gen=3 type=consumer protocol=range leader=@1 since=0 @1=a @2=b @4=c
        #7 sync NONE a
        > sync g @2 gen=3
        #8 sync NONE b
        > sync g @4 gen=3
        #9 sync NONE c
        > config max_size=2
        > join g id=@1
        > join g id=@2
        > join g id=@1
        #10 join REBALANCE_IN_PROGRESS @1
        > join g id=@4
        #13 join GROUP_MAX_SIZE_REACHED -
        ",
    );
}
