//! Commits, what is read of them, and their end.

use crate::script::check;

#[test]
fn bare_commit_makes_a_group() {
    check(
        "
        > commit g t-0=5/note
        log offset g t-0 5/note v4
        #1 commit t-0=NONE
        > fetch g t-0 t-1 u-0
        #2 fetch NONE t-0=5/note t-1=-1 u-0=-1
        > fetch g *
        #3 fetch NONE t-0=5/note
        > describe g
        #4 describe g Empty -/- NONE
        > list
        #5 list g(-,Empty,classic)
        > join g v=3
        #6 join @6 gen=1 consumer/range leader=@6 @6
        > fetch g *
        #7 fetch NONE t-0=5/note
        ",
    );
}

#[test]
fn group_that_is_not_there() {
    check(
        "
        > commit g m gen=1 t-0=5 v=8
        #1 commit t-0=ILLEGAL_GENERATION
        > commit g m gen=1 t-0=5 v=9
        #2 commit t-0=GROUP_ID_NOT_FOUND
        > fetch g t-0
        #3 fetch NONE t-0=-1
        > fetch g *
        #4 fetch NONE
        > forget g t-0
        #5 forget GROUP_ID_NOT_FOUND
        > commit - t-0=1
        log offset  t-0 1 v4
        #6 commit t-0=NONE
        > fetch - t-0
        #7 fetch NONE t-0=1
        > forget - t-0
        #8 forget INVALID_GROUP_ID
        ",
    );
}

#[test]
fn who_may_commit() {
    check(
        "
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > commit g @1 gen=1 t-0=1
        #2 commit t-0=REBALANCE_IN_PROGRESS
        > sync g @1 gen=1 @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #3 sync NONE a
        > commit g @1 gen=1 t-0=1
        log offset g t-0 1 v4
        #4 commit t-0=NONE
        > commit g @1 gen=0 t-0=2
        #5 commit t-0=ILLEGAL_GENERATION
        > commit g @1 gen=-1 t-0=2
        #6 commit t-0=ILLEGAL_GENERATION
        > commit g m gen=1 t-0=2
        #7 commit t-0=UNKNOWN_MEMBER_ID
        > commit g t-0=2
        #8 commit t-0=UNKNOWN_MEMBER_ID
        > commit g @1 gen=1 instance=i t-0=2
        #9 commit t-0=UNKNOWN_MEMBER_ID
        > leave g @1
        log group g gen=2 type=consumer protocol=null leader=null since=0
        #10 leave NONE @1=NONE
        > commit g t-0=3
        log offset g t-0 3 v4
        #11 commit t-0=NONE
        > commit g m gen=1 t-0=4
        #12 commit t-0=UNKNOWN_MEMBER_ID
        > fetch g t-0
        #13 fetch NONE t-0=3
        ",
    );
}

#[test]
fn text_that_is_too_long() {
    check(
        "
        > config metadata=4
        > commit g t-0=5/note t-1=5/notes t-2=5/äöüß t-3=5/😀😀 t-4=6/😀😀x
        log offset g t-0 5/note v4
        log offset g t-2 5/äöüß v4
        log offset g t-3 5/😀😀 v4
        #1 commit t-0=NONE t-1=OFFSET_METADATA_TOO_LARGE t-2=NONE t-3=NONE t-4=OFFSET_METADATA_TOO_LARGE
        > fetch g *
        #2 fetch NONE t-0=5/note t-2=5/äöüß t-3=5/😀😀
        ",
    );
}

#[test]
fn topic_created_anew() {
    check(
        "
        > commit g t-0=5 topic=1
        log offset g t-0 5 v4
        #1 commit t-0=NONE
        > fetch g t-0 topic=1
        #2 fetch NONE t-0=5
        > fetch g t-0 topic=2
        #3 fetch NONE t-0=-1
        > fetch g t-0
        #4 fetch NONE t-0=5
        > deleted-topic t id=2
        > deleted-topic u id=1
        > commit g t-1=7
        log offset g t-1 7 v4
        #5 commit t-1=NONE
        > deleted-topic t id=1
        log no offset g t-0
        log no offset g t-1
        > fetch g *
        #6 fetch NONE
        ",
    );
}

#[test]
fn deleted_by_request() {
    check(
        "
        > commit g t-0=1 u-0=2
        log offset g t-0 1 v4
        log offset g u-0 2 v4
        #1 commit t-0=NONE u-0=NONE
        > forget g t-0 t-9
        log no offset g t-0
        #2 forget NONE t-0=NONE t-9=NONE
        > fetch g *
        #3 fetch NONE u-0=2
        > join g v=3 topics=t
        #4 join @4 gen=1 consumer/range leader=@4 @4
        > sync g @4 gen=1 @4=a
        log group g gen=1 type=consumer protocol=range leader=@4 since=0 @4=a
        #5 sync NONE a
        > commit g @4 gen=1 t-0=1
        log offset g t-0 1 v4
        #6 commit t-0=NONE
        > forget g t-0 u-0
        log no offset g u-0
        #7 forget NONE t-0=GROUP_SUBSCRIBED_TO_TOPIC u-0=NONE
        > join h v=3 type=connect
        log group h gen=0 type=- protocol=null leader=null since=0
        #8 join @8 gen=1 connect/range leader=@8 @8
        > forget h t-0
        #9 forget NON_EMPTY_GROUP
        ",
    );
}

#[test]
fn members_that_are_no_consumers() {
    check(
        "
        > join g v=3 topics=t type=connect
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 connect/range leader=@1 @1
        > sync g @1 gen=1 type=connect @1=a
        log group g gen=1 type=connect protocol=range leader=@1 since=0 @1=a
        #2 sync NONE a
        > commit g @1 gen=1 t-0=1
        log offset g t-0 1 v4
        #3 commit t-0=NONE
        > leave g @1
        log group g gen=2 type=connect protocol=null leader=null since=0
        #4 leave NONE @1=NONE
        > forget g t-0
        log no offset g t-0
        #5 forget NONE t-0=NONE
        ",
    );
}

#[test]
fn expire_after_the_last_commit_of_bare_offsets() {
    check(
        "
        > config retention=3600000
        > commit g t-0=1
        log offset g t-0 1 v4
        #1 commit t-0=NONE
        > at 1800000
        > commit g t-1=1
        log offset g t-1 1 v4
        #2 commit t-1=NONE
        > at 3600000
        3600000 log no offset g t-0
        > fetch g *
        #3 fetch NONE t-1=1
        > at 6000000
        5400000 log no offset g t-1
        5400000 log no group g
        > list
        #4 list
        ",
    );
}

#[test]
fn expire_after_the_group_became_empty() {
    check(
        "
        > config retention=3600000
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > sync g @1 gen=1 @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #2 sync NONE a
        > commit g @1 gen=1 t-0=1
        log offset g t-0 1 v4
        #3 commit t-0=NONE
        > at 1000000
        10000 log group g gen=2 type=consumer protocol=null leader=null since=10000
        > describe g
        #4 describe g Empty consumer/- NONE
        > at 3600000
        > at 4200000
        4200000 log no offset g t-0
        4200000 log no group g
        > list
        #5 list
        ",
    );
}

#[test]
fn expire_of_a_group_that_no_longer_consumes_the_topic() {
    check(
        "
        > config retention=600000 check=600000
        > join g v=3 topics=t,u session=1800000
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > sync g @1 gen=1 @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #2 sync NONE a
        > commit g @1 gen=1 t-0=1 u-0=1
        log offset g t-0 1 v4
        log offset g u-0 1 v4
        #3 commit t-0=NONE u-0=NONE
        > join g id=@1 topics=t session=1800000
        #4 join @1 gen=2 consumer/range leader=@1 @1
        > sync g @1 gen=2 @1=a
        log group g gen=2 type=consumer protocol=range leader=@1 since=0 @1=a
        #5 sync NONE a
        > at 600000
        600000 log no offset g u-0
        > fetch g *
        #6 fetch NONE t-0=1
        ",
    );
}

#[test]
fn retention_of_its_own() {
    check(
        "
        > commit g v=4 retention=1000 t-0=1
        log offset g t-0 1 v1
        #1 commit t-0=NONE
        > commit g v=4 t-1=1
        log offset g t-1 1 v4
        #2 commit t-1=NONE
        > at 600000
        600000 log no offset g t-0
        > fetch g *
        #3 fetch NONE t-1=1
        ",
    );
}

#[test]
fn commits_survive_a_new_coordinator() {
    check(
        "
        > commit g t-0=5/note topic=3
        log offset g t-0 5/note v4
        #1 commit t-0=NONE
        > commit g t-0=6 topic=3
        log offset g t-0 6 v4
        #2 commit t-0=NONE
        > commit h t-0=1
        log offset h t-0 1 v4
        #3 commit t-0=NONE
        > reload
        > fetch g t-0 topic=3
        #4 fetch NONE t-0=6
        > fetch h *
        #5 fetch NONE t-0=1
        > list
        #6 list g(-,Empty,classic) h(-,Empty,classic)
        ",
    );
}

#[test]
fn commit_that_no_batch_can_hold() {
    check(
        "
        > config batch=200
        > commit g t-0=1
        log offset g t-0 1 v4
        #1 commit t-0=NONE
        > commit g t-0=2 t-1=2
        #2 commit t-0=UNKNOWN_SERVER_ERROR t-1=UNKNOWN_SERVER_ERROR
        > fetch g *
        #3 fetch NONE t-0=1
        > delete g
        log no offset g t-0
        log no group g
        #4 delete g=NONE
        ",
    );
}
