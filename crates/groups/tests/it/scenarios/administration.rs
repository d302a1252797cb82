//! Groups as administrators see them.

use crate::script::check;

#[test]
fn absent_groups() {
    check(
        "
        > describe g v=5
        #1 describe g Dead -/- NONE
        > describe g v=6
        #2 describe g Dead -/- Group g not found.
        > delete g
        #3 delete g=GROUP_ID_NOT_FOUND
        ",
    );
}

#[test]
fn states_and_types() {
    check(
        "
        > join a
        log group a gen=0 type=- protocol=null leader=null since=0
        #1 join MEMBER_ID_REQUIRED @1
        > join b v=3
        log group b gen=0 type=- protocol=null leader=null since=0
        #2 join @2 gen=1 consumer/range leader=@2 @2
        > join c v=3
        log group c gen=0 type=- protocol=null leader=null since=0
        #3 join @3 gen=1 consumer/range leader=@3 @3
        > sync c @3 gen=1 @3=x
        log group c gen=1 type=consumer protocol=range leader=@3 since=0 @3=x
        #4 sync NONE x
        > join d v=3
        log group d gen=0 type=- protocol=null leader=null since=0
        #5 join @5 gen=1 consumer/range leader=@5 @5
        > join d v=3
        > commit e t-0=1
        log offset e t-0 1 v4
        #7 commit t-0=NONE
        > list
        #8 list a(-,Empty,classic) b(consumer,CompletingRebalance,classic) c(consumer,Stable,classic) d(consumer,PreparingRebalance,classic) e(-,Empty,classic)
        > list state=stable
        #9 list c(consumer,Stable,classic)
        > list state=EMPTY
        #10 list a(-,Empty,classic) e(-,Empty,classic)
        > list state=unknown
        #11 list
        > list type=Classic
        #12 list a(-,Empty,classic) b(consumer,CompletingRebalance,classic) c(consumer,Stable,classic) d(consumer,PreparingRebalance,classic) e(-,Empty,classic)
        > list type=consumer
        #13 list
        > describe a b c d e
        #14 describe a Empty -/- NONE b CompletingRebalance consumer/- NONE @2= c Stable consumer/range NONE @3=x d PreparingRebalance consumer/- NONE @5= @6= e Empty -/- NONE
        ",
    );
}

#[test]
fn deletion() {
    check(
        "
        > commit g t-0=1 t-1=1 u-0=1
        log offset g t-0 1 v4
        log offset g t-1 1 v4
        log offset g u-0 1 v4
        #1 commit t-0=NONE t-1=NONE u-0=NONE
        > join h v=3
        log group h gen=0 type=- protocol=null leader=null since=0
        #2 join @2 gen=1 consumer/range leader=@2 @2
        > delete g h i g
        log no offset g t-0
        log no offset g t-1
        log no offset g u-0
        log no group g
        #3 delete g=NONE h=NON_EMPTY_GROUP i=GROUP_ID_NOT_FOUND
        > list
        #4 list h(consumer,CompletingRebalance,classic)
        > leave h @2
        log group h gen=2 type=consumer protocol=null leader=null since=0
        #5 leave NONE @2=NONE
        > delete h
        log no group h
        #6 delete h=NONE
        > list
        #7 list
        > fetch g *
        #8 fetch NONE
        ",
    );
}

#[test]
fn deletion_with_a_pending_member() {
    check(
        "
        > join g
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join MEMBER_ID_REQUIRED @1
        > delete g
        log no group g
        #2 delete g=NONE
        > join g id=@1
        #3 join UNKNOWN_MEMBER_ID @1
        > at 20000
        ",
    );
}
