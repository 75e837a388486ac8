//! The floor of plain sockets: recvmmsg and sendmmsg, 32 messages at a time, one thread.
//!
//! Owns: the loop. One blocking call receives what is there, one sends it: no poll, no copy.

use std::io;
use std::io::{IoSlice, IoSliceMut};
use std::net::SocketAddrV4;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};
use sipedge_baselines::job::{HEADROOM_BYTES, Job, MESSAGE_BYTES_MAX};
use sipedge_baselines::setup;

/// Messages per system call.
const BATCH: usize = 32;

type Frame = [u8; HEADROOM_BYTES + MESSAGE_BYTES_MAX];

fn main() -> ExitCode {
    let ended = setup::arguments(std::env::args().skip(1))
        .and_then(|(listen, job)| run(listen, &job).map_err(|error| error.to_string()));
    if let Err(error) = ended {
        eprintln!("floor-recvmmsg: {error}");
    }
    ExitCode::FAILURE
}

fn run(listen: SocketAddrV4, job: &Job) -> io::Result<()> {
    let socket = setup::bind(listen)?;
    let mut frames = vec![[0u8; HEADROOM_BYTES + MESSAGE_BYTES_MAX]; BATCH];
    let mut incoming = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut outgoing = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut received: Vec<(usize, SockaddrIn)> = Vec::with_capacity(BATCH);
    loop {
        received.clear();
        match receive(socket.as_raw_fd(), &mut frames, &mut incoming, &mut received) {
            // An ICMP error of something that was sent earlier.
            Ok(()) | Err(Errno::EINTR | Errno::ECONNREFUSED) => {}
            Err(error) => return Err(error.into()),
        }
        send(socket.as_raw_fd(), job, &mut frames, &mut outgoing, &received);
    }
}

fn receive(
    socket: i32,
    frames: &mut [Frame],
    headers: &mut MultiHeaders<SockaddrIn>,
    received: &mut Vec<(usize, SockaddrIn)>,
) -> Result<(), Errno> {
    let mut frames = frames.iter_mut();
    let mut slices: [[IoSliceMut<'_>; 1]; BATCH] = std::array::from_fn(|_| {
        let frame = frames.next().expect("there are BATCH frames");
        [IoSliceMut::new(&mut frame[HEADROOM_BYTES..])]
    });
    let found = recvmmsg(socket, headers, slices.iter_mut(), MsgFlags::MSG_WAITFORONE, None)?;
    received.extend(found.filter_map(|one| Some((one.bytes, one.address?))));
    Ok(())
}

/// Forwards and sends what was received; what the kernel refuses is dropped.
fn send(
    socket: i32,
    job: &Job,
    frames: &mut [Frame],
    headers: &mut MultiHeaders<SockaddrIn>,
    received: &[(usize, SockaddrIn)],
) {
    let mut parts: [Range<usize>; BATCH] = std::array::from_fn(|_| 0..0);
    let mut addresses = [None; BATCH];
    for (place, (size, source)) in received.iter().enumerate() {
        let frame = &mut frames[place][..HEADROOM_BYTES + size];
        let source = SocketAddrV4::new(source.ip(), source.port());
        if let Some((part, to)) = job.forward(frame, source) {
            parts[place] = part;
            addresses[place] = Some(SockaddrIn::from(to));
        }
    }
    let slices: [[IoSlice<'_>; 1]; BATCH] =
        std::array::from_fn(|place| [IoSlice::new(&frames[place][parts[place].clone()])]);
    let mut done = 0;
    while done < received.len() {
        // What goes nowhere is skipped: without an address the kernel would refuse the rest of the batch.
        if addresses[done].is_none() {
            done += 1;
            continue;
        }
        let run = addresses[done..received.len()].iter().take_while(|to| to.is_some()).count();
        let (slices, to) = (&slices[done..done + run], &addresses[done..done + run]);
        let sent = sendmmsg(socket, headers, slices, to, [], MsgFlags::empty());
        done += sent.map_or(1, |sent| sent.count().max(1));
    }
}
