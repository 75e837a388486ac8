//! The floor of glommio: what a ready-made thread-per-core runtime on io_uring costs for the same job.
//!
//! Owns: the loop over one `UdpSocket`. One message at a time: glommio's socket has no batches.

use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::process::ExitCode;

use glommio::LocalExecutor;
use glommio::net::UdpSocket;
use sipedge_baselines::job::{HEADROOM_BYTES, Job, MESSAGE_BYTES_MAX};
use sipedge_baselines::setup;

fn main() -> ExitCode {
    let ended = setup::arguments(std::env::args().skip(1))
        .and_then(|(listen, job)| LocalExecutor::default().run(run(listen, job)));
    if let Err(error) = ended {
        eprintln!("floor-glommio: {error}");
    }
    ExitCode::FAILURE
}

async fn run(listen: SocketAddrV4, job: Job) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let socket = UdpSocket::bind(listen).map_err(|error| text(&error))?;
    // SAFETY: the socket is open until the end of this function, and this borrow ends with the statement.
    let borrowed = unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) };
    setup::enlarge(&borrowed).map_err(|error| text(&error))?;
    let mut frame = vec![0u8; HEADROOM_BYTES + MESSAGE_BYTES_MAX];
    loop {
        let Ok((size, SocketAddr::V4(source))) =
            socket.recv_from(&mut frame[HEADROOM_BYTES..]).await
        else {
            continue;
        };
        let frame = &mut frame[..HEADROOM_BYTES + size];
        if let Some((part, to)) = job.forward(frame, source) {
            // What the kernel refuses is dropped.
            let _ = socket.send_to(&frame[part], to).await;
        }
    }
}
