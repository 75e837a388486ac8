//! `[[route]]`: conditions and actions of the rules, in their order.

use super::super::address::{is_host_name, literal};
use super::super::file::{At, File, Route, Word};
use super::super::problem::{Problems, Severity};
use super::{find_name, within};
use crate::sip::ListenerId;
use crate::sip::message::Method;
use crate::sip::route::table::{Action, PathPolicy, Rule};

const RULES_MAX: usize = u16::MAX as usize;

pub(super) fn check(file: &File, problems: &mut Problems) -> Vec<Rule> {
    if file.route.is_empty() {
        let help = "add [[route]] with pool = \"NAME\"";
        problems
            .missing_in_file("there is no route: every request would be answered with 404", help);
    }
    if let Some(extra) = file.route.get(RULES_MAX) {
        problems.error(&extra.span, format!("more than {RULES_MAX} routes"), "use fewer");
    }
    let errors_before = problems.count(Severity::Error);
    let mut rules: Vec<Option<Rule>> = Vec::new();
    for section in &file.route {
        let errors = problems.count(Severity::Error);
        let action = action(section, file, problems);
        let rule = action.map(|action| rule(section, action, file, problems));
        // What a broken condition would match is not known.
        let rule = rule.filter(|_| problems.count(Severity::Error) == errors);
        let covering =
            |rule| rules.iter().position(|r| r.as_ref().is_some_and(|r| covers(r, rule)));
        if let Some(earlier) = rule.as_ref().and_then(covering) {
            let message =
                format!("this route never matches: route {} takes all of it", earlier + 1);
            let help = "move it up, or remove it: the first match wins";
            problems.warning(&section.span, message, help);
        }
        rules.push(rule);
    }
    // A route with an error may have meant any pool.
    if !file.route.is_empty() && problems.count(Severity::Error) == errors_before {
        unused_pools(file, problems);
    }
    rules.into_iter().flatten().collect()
}

fn unused_pools(file: &File, problems: &mut Problems) {
    for name in file.pool.iter().filter_map(|pool| pool.name.as_ref()) {
        let used = |route: &Route| route.pool.as_ref().is_some_and(|pool| pool.value == name.value);
        if !file.route.iter().any(used) {
            let message = format!("no route sends anything to the pool \"{}\"", name.value);
            problems.warning(&name.span, message, "add [[route]] with pool = .., or remove it");
        }
    }
}

fn action(section: &Route, file: &File, problems: &mut Problems) -> Option<Action> {
    mode(section, problems);
    let drop = section.drop.as_ref().filter(|drop| drop.value);
    if let Some(drop) = &section.drop
        && !drop.value
    {
        problems.error(
            &drop.span,
            "drop = false says nothing",
            "leave it out, or write drop = true",
        );
        return None;
    }
    match (&section.pool, &section.reply, drop) {
        (Some(pool), None, None) => {
            let names = file.pool.iter().map(|pool| pool.name.as_ref());
            let index = find_name(pool, "pool", names, problems)?;
            u16::try_from(index).ok().map(Action::Pool)
        }
        (None, Some(status), None) => {
            let status = within(status, "the status of a reply", 400..700, problems)?;
            u16::try_from(status).ok().map(Action::Reply)
        }
        (None, None, Some(_)) => Some(Action::Drop),
        (None, None, None) => {
            let help = "write pool = \"NAME\", reply = 403, or drop = true";
            problems.missing(&section.span, "this route does not say what to do", help);
            None
        }
        _ => {
            let help = "keep one of pool, reply and drop; make a second route for the other";
            problems.error(&section.span, "this route says to do two things", help);
            None
        }
    }
}

fn mode(section: &Route, problems: &mut Problems) {
    let Some(mode) = &section.mode else { return };
    let message = match mode.value.as_str() {
        "proxy" => return,
        known @ ("transparent" | "redirect") => format!("mode = \"{known}\" comes later"),
        other => format!("mode cannot be \"{other}\""),
    };
    problems.error(&mode.span, message, "write mode = \"proxy\", or leave it out");
}

fn rule(section: &Route, action: Action, file: &File, problems: &mut Problems) -> Rule {
    let when = &section.when;
    let mut rule = Rule {
        needs_token: needs_token(section.in_dialog.as_ref(), &action, problems),
        methods: Vec::new(),
        other_methods: Vec::new(),
        listeners: Vec::new(),
        domains: Vec::new(),
        record_route: flag(section.record_route.as_ref(), "record_route", &action, problems),
        path: path(section.path.as_ref(), &action, problems),
        action,
    };
    for at in values(&when.method, "method", problems) {
        method(at, &mut rule, problems);
    }
    for at in values(&when.listen, "listen", problems) {
        let names = file.listen.iter().map(|listen| listen.name.as_ref());
        let found = find_name(at, "listener", names, problems);
        if let Some(id) = found.and_then(|index| u8::try_from(index).ok()) {
            rule.listeners.push(ListenerId(id));
        }
    }
    for at in values(&when.domain, "domain", problems) {
        if is_host_name(&at.value) || literal(&at.value).is_some() {
            rule.domains.push(at.value.as_str().into());
        } else {
            let help = "write a host without scheme, user and port, like \"example.com\"";
            problems.error(&at.span, format!("\"{}\" is no host", at.value), help);
        }
    }
    rule
}

/// The values of a condition. An empty list would match everything, which nobody means by it.
fn values<'a>(
    list: &'a Option<At<Vec<At<String>>>>,
    name: &str,
    problems: &mut Problems,
) -> &'a [At<String>] {
    let Some(list) = list else { return &[] };
    if list.value.is_empty() {
        let help = format!("leave `{name}` out to match all");
        problems.missing(&list.span, format!("the condition `{name}` is an empty list"), help);
    }
    &list.value
}

fn method(at: &At<String>, rule: &mut Rule, problems: &mut Problems) {
    let name = at.value.as_str();
    // RFC 3261 25.1: a method is a token.
    let token = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c);
    if name.is_empty() || !name.chars().all(token) {
        problems.error(&at.span, format!("\"{name}\" is no method"), "write \"INVITE\"");
        return;
    }
    let upper = name.to_ascii_uppercase();
    match Method::from_bytes(name.as_bytes()) {
        Method::Other if Method::from_bytes(upper.as_bytes()) != Method::Other => {
            let message = format!("\"{name}\" is not {upper}: methods are case-sensitive");
            problems.error(&at.span, message, format!("write \"{upper}\""));
        }
        Method::Other => rule.other_methods.push(name.to_owned()),
        known => rule.methods.push(known),
    }
}

fn needs_token(at: Option<&At<String>>, action: &Action, problems: &mut Problems) -> bool {
    let Some(at) = at else { return false };
    if !matches!(action, Action::Pool(_)) {
        let message = "in_dialog means nothing where no pool is named";
        problems.warning(&at.span, message, "leave it out");
    }
    match at.value.as_str() {
        "any" => false,
        "token" => true,
        other => {
            let help = "write \"any\" (by this route), or \"token\" (481 without a token of ours)";
            problems.error(&at.span, format!("in_dialog cannot be \"{other}\""), help);
            false
        }
    }
}

fn flag(at: Option<&At<bool>>, name: &str, action: &Action, problems: &mut Problems) -> bool {
    let Some(at) = at else { return true };
    means_something(at, name, action, problems);
    at.value
}

fn path(at: Option<&At<Word>>, action: &Action, problems: &mut Problems) -> PathPolicy {
    let Some(at) = at else { return PathPolicy::default() };
    means_something(at, "path", action, problems);
    let wrong = match &at.value {
        Word::Boolean(false) => return PathPolicy::Never,
        Word::Text(text) if text == "supported" => return PathPolicy::Supported,
        Word::Text(text) if text == "always" => return PathPolicy::Always,
        Word::Boolean(true) => "path = true does not say for whom".to_owned(),
        Word::Text(text) => format!("path cannot be \"{text}\""),
    };
    let help = "write \"supported\" (phones that say Supported: path), \"always\" (all, and say it for them), or false";
    problems.error(&at.span, wrong, help);
    PathPolicy::default()
}

fn means_something<T>(at: &At<T>, name: &str, action: &Action, problems: &mut Problems) {
    if !matches!(action, Action::Pool(_)) {
        let message = format!("{name} means nothing where no pool is named");
        problems.warning(&at.span, message, "leave it out");
    }
}

/// Whether everything that `later` matches is matched by `earlier`.
fn covers(earlier: &Rule, later: &Rule) -> bool {
    fn within<T: PartialEq>(earlier: &[T], later: &[T]) -> bool {
        earlier.is_empty() || (!later.is_empty() && later.iter().all(|x| earlier.contains(x)))
    }
    let any_method = |rule: &Rule| rule.methods.is_empty() && rule.other_methods.is_empty();
    let methods = any_method(earlier)
        || (!any_method(later)
            && later.methods.iter().all(|x| earlier.methods.contains(x))
            && later.other_methods.iter().all(|x| earlier.other_methods.contains(x)));
    methods
        && within(&earlier.listeners, &later.listeners)
        && within(&earlier.domains, &later.domains)
}
