//! `sipedge top`: a node in a terminal, once a second, until q.
//!
//! Owns: the terminal (raw mode, alternate screen, both given back on every way out), keys, the pace. What is drawn is decided
//! in `frame`.

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers, poll, read};
use crossterm::style::{Attribute, Color, Print, ResetColor, SetAttribute, SetForegroundColor};
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode, size,
};
use crossterm::{execute, queue};

use super::{Failure, Node, Which};
use frame::{Line, Seen, Style};

mod columns;
pub mod frame;

/// From one look to the next, unless a key comes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Lines that a page key moves by.
const PAGE: isize = 10;

/// `sipedge top`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    which: Which,
}

/// What a key asks for.
enum Wish {
    Quit,
    /// So many lines down, or up when negative.
    Move(isize),
    Nothing,
}

/// The terminal as it was, given back when dropped.
struct Screen;

impl Screen {
    fn open() -> std::io::Result<Self> {
        enable_raw_mode()?;
        let screen = Self;
        execute!(stdout(), EnterAlternateScreen, Hide)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing can be done when the terminal is gone.
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// Shows the node until it is told to end.
#[must_use]
pub fn run(arguments: &Arguments) -> ExitCode {
    let result = Node::new(&arguments.which).and_then(|node| {
        // Before the screen changes: what is wrong must stay readable.
        let seen = look(&node)?;
        show(&node, seen)
            .map(|()| String::new())
            .map_err(|error| Failure::Failed(error.to_string()))
    });
    super::finish(result)
}

fn look(node: &Node) -> Result<Seen, String> {
    Ok(Seen {
        node: node.read("node")?,
        rates: node.read("rates")?,
        drops: node.read("drops")?,
        trouble: None,
    })
}

fn show(node: &Node, mut seen: Seen) -> std::io::Result<()> {
    let _screen = Screen::open()?;
    let mut first = 0;
    loop {
        let (width, height) = size()?;
        let lines = frame::lines(&seen, usize::from(width), usize::from(height), &mut first);
        draw(&lines)?;
        match wait()? {
            Some(Wish::Quit) => return Ok(()),
            Some(Wish::Move(lines)) => first = first.saturating_add_signed(lines),
            Some(Wish::Nothing) => {}
            None => match look(node) {
                Ok(now) => seen = now,
                Err(trouble) => seen.trouble = Some(trouble),
            },
        }
    }
}

fn wait() -> std::io::Result<Option<Wish>> {
    if !poll(LOOK_EVERY)? {
        return Ok(None);
    }
    let Event::Key(key) = read()? else { return Ok(Some(Wish::Nothing)) };
    let is_interrupt =
        key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    Ok(Some(match key.code {
        _ if key.kind == KeyEventKind::Release => Wish::Nothing,
        KeyCode::Char('q') | KeyCode::Esc => Wish::Quit,
        _ if is_interrupt => Wish::Quit,
        KeyCode::Up | KeyCode::Char('k') => Wish::Move(-1),
        KeyCode::Down | KeyCode::Char('j') => Wish::Move(1),
        KeyCode::PageUp => Wish::Move(-PAGE),
        KeyCode::PageDown | KeyCode::Char(' ') => Wish::Move(PAGE),
        KeyCode::Home => Wish::Move(isize::MIN),
        KeyCode::End => Wish::Move(isize::MAX),
        _ => Wish::Nothing,
    }))
}

fn draw(lines: &[Line]) -> std::io::Result<()> {
    let mut out = stdout().lock();
    for (row, line) in (0_u16..).zip(lines) {
        queue!(out, MoveTo(0, row), Clear(ClearType::CurrentLine))?;
        for (style, text) in line {
            match style {
                Style::Plain => {}
                Style::Strong => queue!(out, SetAttribute(Attribute::Bold))?,
                // Dark grey is the ground itself in some themes; dim is always lighter or darker than that.
                Style::Faint => queue!(out, SetAttribute(Attribute::Dim))?,
                // The first eight colours: those that a theme makes readable on its ground, white or black.
                Style::Good => queue!(out, SetForegroundColor(Color::DarkGreen))?,
                Style::Doubtful => queue!(out, SetForegroundColor(Color::DarkYellow))?,
                Style::Bad => queue!(out, SetForegroundColor(Color::DarkRed))?,
            }
            queue!(out, Print(text), SetAttribute(Attribute::Reset), ResetColor)?;
        }
    }
    queue!(out, Clear(ClearType::FromCursorDown))?;
    out.flush()
}
