//! What the service manager is told (sd_notify(3)): ready, reloading, stopping, a line of status, alive.
//!
//! Owns: the words of that protocol, and how often the watchdog wants to hear. Says nothing where no manager listens. It
//! knows neither shards nor configuration: who calls decides that all is well.

use std::cell::Cell;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

/// Longer lines are cut: `systemctl status` shows one line.
const STATUS_BYTES_MAX: usize = 200;

/// The way to the service manager.
#[derive(Debug)]
pub struct Notify {
    watchdog: Option<Duration>,
    /// Told once that nobody can be told.
    failed: Cell<bool>,
}

impl Notify {
    /// As the environment says: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`. Without them nothing is sent.
    #[must_use]
    pub fn from_environment() -> Self {
        Self { watchdog: sd_notify::watchdog_enabled(), failed: Cell::new(false) }
    }

    /// The start, or a reload, is done: also after a refused reload, because the old configuration serves on.
    pub fn ready(&self) {
        self.send(&[NotifyState::Ready]);
    }

    /// A reload begins; [`Notify::ready`] ends it. The manager pairs it with its request by the monotonic time in it.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.send(&[NotifyState::Reloading, now]),
            Err(error) => self.tell_once(&error),
        }
    }

    /// The end begins.
    pub fn stopping(&self) {
        self.send(&[NotifyState::Stopping]);
    }

    /// The line that `systemctl status` shows.
    pub fn status(&self, text: &str) {
        // A line end would begin another word of the protocol.
        let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        line.truncate(line.floor_char_boundary(STATUS_BYTES_MAX));
        self.send(&[NotifyState::Status(&line)]);
    }

    /// How often [`Notify::alive`] is to be called: twice within the time after which the manager kills. `None`: no watchdog.
    #[must_use]
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    /// All is well. To be called only after the shards have answered: a watchdog that one thread feeds by itself proves
    /// nothing of the others.
    pub fn alive(&self) {
        self.send(&[NotifyState::Watchdog]);
    }

    fn send(&self, words: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(words) {
            self.tell_once(&error);
        }
    }

    fn tell_once(&self, error: &std::io::Error) {
        if !self.failed.replace(true) {
            warn!("the service manager cannot be told how we are: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::process::Command;

    use super::*;

    /// Set in the second process of [`the_manager_hears_each_word`].
    const SECOND: &str = "SIPEDGE_NOTIFY_TEST";

    /// The environment belongs to the process, so the words are said in a process of their own: this test, again.
    #[test]
    fn the_manager_hears_each_word() {
        if std::env::var_os(SECOND).is_some() {
            return say_all();
        }
        let place = std::env::temp_dir().join(format!("sipedge-notify-{}", std::process::id()));
        let _ = std::fs::remove_file(&place);
        let manager = UnixDatagram::bind(&place).expect("a socket in the temporary folder");
        manager.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        let this = std::env::current_exe().expect("this test");
        let name = std::thread::current().name().expect("the name of the test").to_owned();
        let told = Command::new(this)
            .args(["--exact", &name])
            .env(SECOND, "1")
            .env("NOTIFY_SOCKET", &place)
            .env("WATCHDOG_USEC", "30000000")
            .env_remove("WATCHDOG_PID")
            .output()
            .expect("a second process");
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stdout));
        let mut heard = Vec::new();
        let mut buffer = [0; 1024];
        for _ in 0..6 {
            let size = manager.recv(&mut buffer).expect("six words");
            heard.push(String::from_utf8(buffer[..size].to_vec()).expect("text"));
        }
        std::fs::remove_file(&place).expect("ours");
        let (reloading, at) = heard[1].split_once("\nMONOTONIC_USEC=").expect("with its time");
        assert_eq!(reloading, "RELOADING=1");
        assert!(at.trim_end().parse::<u64>().expect("a number") > 0);
        assert_eq!(heard[0], "READY=1\n");
        assert_eq!(heard[2], format!("STATUS=2 of 3 backends READY=1 {}\n", "x".repeat(200 - 24)));
        assert_eq!(heard[3], "STATUS=\n");
        assert_eq!(heard[4..], ["WATCHDOG=1\n", "STOPPING=1\n"]);
    }

    fn say_all() {
        let notify = Notify::from_environment();
        assert_eq!(notify.watchdog_interval(), Some(Duration::from_secs(15)));
        notify.ready();
        notify.reloading();
        notify.status(&format!("2 of 3 backends\nREADY=1 {}", "x".repeat(500)));
        notify.status("");
        notify.alive();
        notify.stopping();
        assert!(!notify.failed.get());
    }

    #[test]
    fn without_a_manager_nothing_is_said() {
        // Under a service manager that starts tests there is one.
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            let notify = Notify { watchdog: None, failed: Cell::new(false) };
            notify.ready();
            assert!(!notify.failed.get());
            assert_eq!(notify.watchdog_interval(), None);
        }
    }
}
