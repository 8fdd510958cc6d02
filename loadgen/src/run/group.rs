//! A group of connections as one thread runs it.

use std::{rc::Rc, sync::Arc};

use anyhow::{Result, anyhow};

use super::{Options, Shared, connection::Connection, phase::Phase};
use crate::{
    engine::Executor,
    pace::{Arrivals, Schedule},
    random::{Random, Zipf},
    record::OperationId,
    scenario::{Choice, Group, Pace, Step},
    session::{Local, Session},
};

/// What is needed to start the connections of a group on a thread.
pub(super) struct Thread<'a> {
    pub(super) index: usize,
    pub(super) shared: &'a Arc<Shared>,
    pub(super) local: &'a Rc<Local>,
    pub(super) phase: &'a Rc<Phase>,
    pub(super) executor: &'a mut Executor,
}

/// A group as one thread runs it.
pub(super) struct Running<S: Session> {
    pub(super) setup: Vec<S::Action>,
    pub(super) setup_operations: Vec<Option<OperationId>>,
    pub(super) activities: Vec<Vec<(Option<OperationId>, S::Action)>>,
    /// Upper ends of the activities' shares of 1.
    pub(super) cumulative: Vec<f64>,
    pub(super) login: Option<OperationId>,
    pub(super) whole: Option<OperationId>,
    pub(super) visit: bool,
    pub(super) listens: bool,
    pub(super) choice: Choice,
    pub(super) zipf: Option<Arc<Zipf>>,
    pub(super) first_mailbox: u64,
    pub(super) mailboxes: u64,
    /// What errors of connecting count as.
    pub(super) first_operation: Option<OperationId>,
    pub(super) arrivals: Rc<Arrivals>,
}

impl Thread<'_> {
    pub(super) fn spawn<S: Session>(self, group_index: usize) -> Result<Rc<Arrivals>> {
        let options = &self.shared.options;
        let group = &self.shared.scenario.groups[group_index];
        let (tickets, zipf, connections) = &self.shared.groups[group_index];
        let mine = (self.index as u64..*connections).step_by(self.shared.threads);
        let part = mine.clone().count() as f64 / *connections as f64;
        let rate = options.rate * group.rate_share * part;
        let schedule = match group.pace {
            Pace::Think => Schedule::Think(group.think_s),
            _ if options.closed || group.pace == Pace::Closed => Schedule::Closed,
            Pace::Steady => Schedule::Steady(rate),
            _ => Schedule::Poisson(rate),
        };
        let stream = (group_index as u64) << 32 | self.index as u64;
        let arrivals = Rc::new(Arrivals::new(
            schedule,
            Random::new(options.seed, stream),
            tickets.clone(),
            options.count,
        ));
        let running = Rc::new(Running::<S>::new(group, options, zipf.clone(), arrivals.clone())?);
        for connection in mine {
            self.phase.preparing.set(self.phase.preparing.get() + 1);
            if running.listens {
                self.phase.listening.set(true);
            } else {
                self.phase.active.set(self.phase.active.get() + 1);
            }
            let random = Random::new(
                options.seed.wrapping_add(17),
                (group_index as u64) << 40 | connection,
            );
            let task = Connection {
                number: connection,
                running: running.clone(),
                local: self.local.clone(),
                phase: self.phase.clone(),
                shared: self.shared.clone(),
                random,
            };
            self.executor.spawn(task.run());
        }
        Ok(arrivals)
    }
}

impl<S: Session> Running<S> {
    pub(super) fn new(
        group: &Group,
        options: &Options,
        zipf: Option<Arc<Zipf>>,
        arrivals: Rc<Arrivals>,
    ) -> Result<Self> {
        let compile = |step: &Step| {
            S::compile(step).map_err(|error| anyhow!("a step of {:?}: {error}", group.protocol))
        };
        let mut activities = Vec::new();
        let mut cumulative = Vec::new();
        let all: f64 = group.activities.iter().map(|activity| activity.weight).sum();
        let mut so_far = 0.0;
        for activity in &group.activities {
            let steps = activity
                .steps
                .iter()
                .map(|step| Ok((step.operation, compile(step)?)));
            activities.push(steps.collect::<Result<Vec<_>>>()?);
            so_far += activity.weight / all;
            cumulative.push(so_far);
        }
        let first_operation = group
            .login_operation
            .or(group.whole_operation)
            .or_else(|| activities.iter().flatten().find_map(|(operation, _)| *operation));
        Ok(Self {
            setup: group.setup.iter().map(compile).collect::<Result<_>>()?,
            setup_operations: group.setup.iter().map(|step| step.operation).collect(),
            activities,
            cumulative,
            login: group.login_operation,
            whole: group.whole_operation,
            visit: group.visit,
            listens: group.pace == Pace::Listen,
            choice: group.mailbox,
            zipf,
            first_mailbox: options.first_mailbox,
            mailboxes: options.mailboxes,
            first_operation,
            arrivals,
        })
    }

    /// Whose turn it is.
    pub(super) fn mailbox(&self, number: u64, random: &mut Random, local: &Local) -> u64 {
        let offset = match (self.choice, &self.zipf) {
            (Choice::Random, _) => random.below(self.mailboxes),
            (Choice::Zipf, Some(zipf)) => zipf.choose(random),
            (Choice::Watched, _) => match local.board.choose(random.next()) {
                Some(mailbox) => return mailbox,
                None => number % self.mailboxes,
            },
            _ => number % self.mailboxes,
        };
        self.first_mailbox + offset
    }
}
