//! Answers that wait until the log has come far enough. Owns their order and deadlines. Must not
//! know what moves the log.

use std::collections::VecDeque;

use ottla_protocol::{Millis, Offset};

/// What a Produce request wants to wait for (its `acks`; nothing waits for 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// 1: the leader has written it, so that it survives the end of the process.
    Leader,
    /// −1: it is below the high watermark.
    All,
}

struct Waiter<T> {
    end: Offset,
    deadline: Millis,
    token: T,
}

/// Tokens in the order of the offsets they wait for.
pub(crate) struct AckQueue<T> {
    waiting: VecDeque<Waiter<T>>,
    /// No deadline is before this one; it may be that of a waiter that has gone.
    earliest: Option<Millis>,
}

impl<T> AckQueue<T> {
    pub(crate) const fn new() -> Self {
        Self { waiting: VecDeque::new(), earliest: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Queues `token` until everything below `end` is reached. Ends come in order but for
    /// duplicates of older batches.
    pub(crate) fn push(&mut self, end: Offset, deadline: Millis, token: T) {
        self.earliest = Some(self.earliest.map_or(deadline, |e| e.min(deadline)));
        let waiter = Waiter { end, deadline, token };
        if self.waiting.back().is_none_or(|last| last.end <= end) {
            self.waiting.push_back(waiter);
        } else {
            let at = self.waiting.partition_point(|w| w.end <= end);
            self.waiting.insert(at, waiter);
        }
    }

    /// Hands out, in order, all tokens whose end is reached.
    pub(crate) fn reached(&mut self, position: Offset, mut answer: impl FnMut(T)) {
        while self.waiting.front().is_some_and(|w| w.end <= position) {
            if let Some(waiter) = self.waiting.pop_front() {
                answer(waiter.token);
            }
        }
        if self.waiting.is_empty() {
            self.earliest = None;
        }
    }

    /// Hands out all tokens that wait for an offset beyond `position`: it will never come.
    pub(crate) fn lost(&mut self, position: Offset, mut answer: impl FnMut(T)) {
        let keep = self.waiting.partition_point(|w| w.end <= position);
        for waiter in self.waiting.drain(keep..) {
            answer(waiter.token);
        }
        if self.waiting.is_empty() {
            self.earliest = None;
        }
    }

    /// Hands out all tokens whose deadline has come, in order of their offsets.
    pub(crate) fn expired(&mut self, now: Millis, mut answer: impl FnMut(T)) {
        if self.earliest.is_none_or(|e| e > now) {
            if self.waiting.is_empty() {
                self.waiting.shrink_to_fit();
            }
            return;
        }
        let mut rest = VecDeque::new();
        self.earliest = None;
        for waiter in self.waiting.drain(..) {
            if waiter.deadline <= now {
                answer(waiter.token);
            } else {
                self.earliest =
                    Some(self.earliest.map_or(waiter.deadline, |e| e.min(waiter.deadline)));
                rest.push_back(waiter);
            }
        }
        self.waiting = rest;
    }

    pub(crate) fn earliest(&self) -> Option<Millis> {
        self.earliest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(waiters: &[(i64, i64)]) -> AckQueue<usize> {
        let mut queue = AckQueue::new();
        for (token, (end, deadline)) in waiters.iter().enumerate() {
            queue.push(Offset(*end), Millis(*deadline), token);
        }
        queue
    }

    #[test]
    fn a_duplicate_of_an_older_batch_goes_before_newer_ones() {
        let mut queue = queue(&[(10, 1), (20, 1), (30, 1), (10, 1)]);
        let mut told = Vec::new();
        queue.reached(Offset(9), |t| told.push(t));
        assert!(told.is_empty());
        queue.reached(Offset(10), |t| told.push(t));
        assert_eq!(told, [0, 3]);
        queue.reached(Offset(30), |t| told.push(t));
        assert_eq!(told, [0, 3, 1, 2]);
        assert_eq!(queue.earliest(), None);
    }

    #[test]
    fn deadlines_need_not_follow_the_offsets() {
        let mut queue = queue(&[(10, 300), (20, 100), (30, 200)]);
        let mut told = Vec::new();
        queue.expired(Millis(99), |t| told.push(t));
        assert!(told.is_empty());
        queue.expired(Millis(100), |t| told.push(t));
        assert_eq!(told, [1]);
        assert_eq!(queue.earliest(), Some(Millis(200)));
        queue.expired(Millis(300), |t| told.push(t));
        assert_eq!(told, [1, 0, 2]);
        assert_eq!((queue.len(), queue.earliest()), (0, None));
    }

    #[test]
    fn what_was_cut_off_is_lost() {
        let mut queue = queue(&[(10, 1), (20, 1), (30, 1)]);
        let mut told = Vec::new();
        queue.lost(Offset(19), |t| told.push(t));
        assert_eq!(told, [1, 2]);
        assert_eq!(queue.len(), 1);
    }
}
