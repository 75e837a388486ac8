//! `[limits]`: each number within its bounds.

use super::super::ShardLimits;
use super::super::file::{At, Limits};
use super::super::problem::Problems;
use super::within;
use crate::sip::{MESSAGE_BYTES_MAX, hold, route::table};

const HELD_MAX: i64 = 1 << 20;
const HELD_BYTES_MAX: i64 = 16_384;
const _: () = assert!(hold::HELD_MAX as i64 == HELD_MAX);
const _: () = assert!(hold::HELD_BYTES_MAX as i64 == HELD_BYTES_MAX);

pub(super) fn check(file: &Limits, problems: &mut Problems) -> (table::Limits, ShardLimits) {
    let mut core = table::Limits::default();
    let mut shard = ShardLimits::default();
    let mut number = |at: &Option<At<i64>>, name: &str, min: i64, max: i64, out: &mut usize| {
        let Some(at) = at else { return };
        let value = within(at, name, min..max + 1, problems);
        if let Some(value) = value.and_then(|value| usize::try_from(value).ok()) {
            *out = value;
        }
    };
    let bytes_max = i64::try_from(MESSAGE_BYTES_MAX).expect("65,535 fits");
    let at = &file.message_bytes_max;
    number(at, "message_bytes_max", 1300, bytes_max, &mut core.message_bytes_max);
    let at = &file.transactions_max;
    number(at, "transactions_max", 64, 1 << 24, &mut core.transactions_max);
    number(&file.held_max, "held_max", 1, HELD_MAX, &mut core.held_max);
    let at = &file.held_bytes_max;
    number(at, "held_bytes_max", 512, HELD_BYTES_MAX, &mut core.held_bytes_max);
    number(&file.send_queue_max, "send_queue_max", 1, 1 << 15, &mut shard.send_queue_max);
    number(&file.receive_buffers, "receive_buffers", 8, 1 << 15, &mut shard.receive_buffers);
    let at = &file.socket_buffer_bytes;
    number(at, "socket_buffer_bytes", 64 << 10, 1 << 30, &mut shard.socket_buffer_bytes);
    if let Some(at) = &file.retry_after_seconds {
        let seconds = within(at, "retry_after_seconds", 1..3601, problems);
        if let Some(seconds) = seconds.and_then(|seconds| u32::try_from(seconds).ok()) {
            core.retry_after_seconds = seconds;
        }
    }
    power_of_two(&file.transactions_max, "transactions_max", core.transactions_max, problems);
    power_of_two(&file.receive_buffers, "receive_buffers", shard.receive_buffers, problems);
    (core, shard)
}

fn power_of_two(at: &Option<At<i64>>, name: &str, value: usize, problems: &mut Problems) {
    if let Some(at) = at
        && !value.is_power_of_two()
    {
        let help =
            format!("write {} or {}", value.next_power_of_two() / 2, value.next_power_of_two());
        problems.error(&at.span, format!("{name} must be a power of two"), help);
    }
}
