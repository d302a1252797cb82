//! One replica's decisions: high watermark, leader epochs, producer state.
