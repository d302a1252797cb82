//! A value that is set by one writer at a time: what it may be after a crash. Must not know what
//! the value stands for.

/// The last acknowledged value, and those that were asked for since and may have been taken.
#[derive(Clone, Debug)]
pub struct Register<T> {
    acked: T,
    in_doubt: Vec<T>,
}

impl<T: Clone + PartialEq> Register<T> {
    /// A register that holds `value` for certain.
    pub const fn new(value: T) -> Self {
        Self { acked: value, in_doubt: Vec::new() }
    }

    /// `value` is about to be asked for.
    pub fn asked(&mut self, value: T) {
        self.in_doubt.push(value);
    }

    /// The last value asked for was acknowledged.
    pub fn acked(&mut self) {
        if let Some(value) = self.in_doubt.pop() {
            self.settle(value);
        }
    }

    /// The last value asked for was refused, and is not taken.
    pub fn refused(&mut self) {
        self.in_doubt.pop();
    }

    /// What was acknowledged last.
    pub const fn last(&self) -> &T {
        &self.acked
    }

    /// All values that it may have.
    pub fn possible(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.acked).chain(&self.in_doubt)
    }

    /// Whether it may have this value.
    pub fn allows(&self, value: &T) -> bool {
        self.possible().any(|possible| possible == value)
    }

    /// It was read. What was asked for before that value can no longer be taken; what was asked for
    /// later still can: its bytes may lie behind the end of a file, and be within it after
    /// another crash.
    pub fn read(&mut self, value: T) {
        if let Some(at) = self.in_doubt.iter().position(|doubt| *doubt == value) {
            self.in_doubt.drain(..=at);
        }
        self.acked = value;
    }

    /// It was read, and has this value from now on.
    pub fn settle(&mut self, value: T) {
        self.acked = value;
        self.in_doubt.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acknowledged_stands_until_something_later_may_have_been_taken() {
        let mut register = Register::new(1);
        register.asked(2);
        assert!(register.allows(&1) && register.allows(&2));
        register.acked();
        assert!(!register.allows(&1) && register.allows(&2));
        register.asked(3);
        register.refused();
        assert!(!register.allows(&3));
        register.asked(4);
        register.asked(5);
        register.read(2);
        assert!(register.allows(&2) && register.allows(&4));
        register.read(4);
        assert!(!register.allows(&2) && register.allows(&4) && register.allows(&5));
        register.settle(4);
        assert!(!register.allows(&5) && register.allows(&4));
        assert_eq!(register.last(), &4);
    }
}
