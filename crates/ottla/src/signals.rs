//! Owns the signals that ask a process to end.
//! Must not know what is ended.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT (Ctrl-C) and SIGTERM, from the moment of creation on.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

/// One of the signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Ended {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }

    /// The exit code of a process that ends by it: 128 and the signal's number.
    pub(crate) fn exit_code(self) -> i32 {
        128 + match self {
            Self::Interrupt => SignalKind::interrupt().as_raw_value(),
            Self::Terminate => SignalKind::terminate().as_raw_value(),
        }
    }
}

impl Signals {
    /// Begins to listen; needs a tokio runtime around it.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) -> Ended {
        tokio::select! {
            _ = self.interrupt.recv() => Ended::Interrupt,
            _ = self.terminate.recv() => Ended::Terminate,
        }
    }
}
