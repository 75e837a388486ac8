//! What an operator may do: reload, and take backends out or in.
//!
//! Owns: the order of a reload (read, judge, plan, install, adopt) and that a refused one changes nothing.

use std::sync::Arc;

use tracing::{error, info, warn};

use super::{Node, probing};
use crate::config::{self, problem::Severity};
use crate::control::event::{BackendAction, Command, Outcome};
use crate::control::fleet::Fleet;
use crate::control::{networks, reload, view};

/// Who did it, as the reason of a state says.
const BY_HAND: &str = "the operator";

impl Node {
    /// Does it, and says what came of it.
    pub(super) fn obey(&mut self, command: Command) -> Outcome {
        match command {
            Command::Reload => self.reload(),
            // Who runs the node ends it: that one sees the command first.
            Command::DrainNode => Outcome::Done(vec!["draining".to_owned()]),
            Command::Backend { pool, uri, action } => self.backend(pool.as_deref(), &uri, action),
        }
    }

    /// Reads the configuration again and takes it over, or says why not.
    pub(crate) fn reload(&mut self) -> Outcome {
        let outcome = match self.take_over() {
            Ok(lines) => {
                info!("reload: taken over; {} changes", lines.len());
                lines.iter().for_each(|line| info!("reload: {line}"));
                self.reloads.taken += 1;
                self.reloads.loaded_at = self.shards.now();
                Outcome::Done(lines)
            }
            Err(why) => {
                error!("reload: refused; what ran goes on unchanged");
                why.iter().for_each(|line| error!("reload: {line}"));
                self.reloads.refused += 1;
                Outcome::Refused { is_unknown: false, why }
            }
        };
        let (taken, lines) = match &outcome {
            Outcome::Done(lines) => (true, lines),
            Outcome::Refused { why, .. } => (false, why),
        };
        let at_ms = self.calendar_ms(self.shards.now());
        self.reloads.last = Some(view::Reload { at_ms, taken, lines: lines.clone() });
        outcome
    }

    fn take_over(&mut self) -> Result<Vec<String>, Vec<String>> {
        let (mut new, problems) = config::load(&self.file).map_err(|problems| {
            problems.to_string().lines().map(str::to_owned).collect::<Vec<_>>()
        })?;
        for problem in problems.sorted() {
            if problem.severity == Severity::Warning {
                warn!("{}: {}; {}", problems.place(problem), problem.message, problem.help);
            }
        }
        new.sides = new.sides.with_learned(networks::learned(&new.listeners));
        let edit = reload::plan(&self.config, &new).map_err(|why| vec![why])?;
        let now = self.shards.now();
        let fleet = self.fleet.edited(&edit.config, &self.known, now).map_err(|why| vec![why])?;
        self.health.adopt(now, &probing::specs(fleet.pools()));
        let table = Arc::new(self.compiled(&edit.config, &fleet));
        if let Err(why) = self.shards.install(&table) {
            self.health.adopt(now, &probing::specs(self.fleet.pools()));
            return Err(vec![why.to_string()]);
        }
        let mut lines = edit.lines;
        for (pool, share) in reload::moved_keys(&self.table, &table) {
            if share > 0.0 {
                lines.push(format!("pool {pool}: {:.1} % of the keys move", share * 100.0));
            }
        }
        lines.extend(edit.restart.iter().map(|key| format!("needs a restart: {key}")));
        self.names.ask(edit.config.names(), edit.config.node.dns.clone());
        let used = edit.config.names();
        self.known.retain(|name| used.contains(name));
        self.silence.keep(|meter| fleet.has_meter(meter));
        self.watch = match self.watch.take() {
            kept @ Some(_) if edit.config.node.watch_config => kept,
            _ => edit.config.node.watch_config.then(|| super::Watch::new(&self.file)),
        };
        self.shares = super::tell::shares(&table);
        (self.config, self.fleet, self.table) = (edit.config, fleet, table);
        self.revision = self.health.revision();
        if let Err(why) = self.trace() {
            lines.push(format!("nothing is traced any more: {why}"));
        }
        Ok(lines)
    }

    fn backend(&mut self, pool: Option<&str>, uri: &str, action: BackendAction) -> Outcome {
        let unknown = |why: String| Outcome::Refused { is_unknown: true, why: vec![why] };
        if let Some(name) = pool
            && self.fleet.pool(name).is_none()
        {
            return unknown(format!("no pool is called \"{name}\"; known: {}", names(&self.fleet)));
        }
        let is_meant = |name: &str| pool.is_none_or(|pool| pool == name);
        let pools: Vec<String> = self
            .fleet
            .pools()
            .iter()
            .filter(|pool| is_meant(&pool.config.name))
            .filter(|pool| pool.members.iter().any(|member| member.uri() == uri))
            .map(|pool| pool.config.name.clone())
            .collect();
        if pools.is_empty() {
            let place = pool.map_or_else(|| "any pool".to_owned(), |pool| format!("pool {pool}"));
            return unknown(format!(
                "no backend of {place} has the URI \"{uri}\", as it is configured"
            ));
        }
        let now = self.shards.now();
        let mut lines = Vec::new();
        for pool in &pools {
            let health = &mut self.health;
            let (result, done) = match action {
                BackendAction::Disable => (
                    health.disable(pool, uri, now, BY_HAND),
                    "disabled: no new keys, no probes, until it is enabled",
                ),
                BackendAction::Drain => (
                    health.drain(pool, uri, BY_HAND),
                    "draining: no new keys; its dialogs and transactions go on, until it is enabled",
                ),
                BackendAction::Enable => (health.enable(pool, uri, now, BY_HAND), "enabled"),
            };
            match result {
                Ok(()) => lines.push(format!("pool {pool}: {uri} {done}")),
                Err(why) => return unknown(why.to_string()),
            }
        }
        self.tell_changes();
        match self.install() {
            Ok(()) => Outcome::Done(lines),
            Err(why) => Outcome::Refused { is_unknown: false, why: vec![why.to_string()] },
        }
    }
}

fn names(fleet: &Fleet) -> String {
    let names: Vec<&str> = fleet.pools().iter().map(|pool| pool.config.name.as_str()).collect();
    names.join(", ")
}
