//! The operating system behind the ports: real disk and clock.
