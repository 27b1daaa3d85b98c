//! How each fault of a plan begins and ends. Part of the [`Director`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use barnabas_base::Keyed;
use barnabas_history::Happening;
use barnabas_plan::{Call, Fate, Fault, FileClass, Machine};
use barnabas_runtime_madsim::{DiskCallKind, DiskVerdict, PowerFate, SlowWay, Span};

use crate::agenda::Cue;
use crate::director::{Director, NODE};
use crate::disk_rules::{Effect, Rule, delay_ms};
use crate::files::{BATCH_HEAD_BYTES, batch_positions, is_of};
use crate::knobs::DISK_BYTES;

/// The rate of a clock that is right, in thousandths.
const RIGHT_RATE_PERMILLE: u32 = 1_000;

impl Director<'_> {
    pub(crate) fn begin_fault(&mut self, index: usize) {
        let planned = &self.plan.faults[index];
        let fault = planned.fault.clone();
        self.happened(Happening::Fault { id: planned.id, fault: fault.clone() });
        self.active.push(index);
        let lasts_ms = self.begin_kind(index, &fault);
        match lasts_ms {
            Some(ms) => self.agenda.add(self.later(ms), Cue::End(index)),
            None => self.active.retain(|active| *active != index),
        }
    }

    /// Begins a fault; how long it lasts, when it ends by time.
    fn begin_kind(&mut self, index: usize, fault: &Fault) -> Option<u64> {
        match fault {
            Fault::Crash { .. }
            | Fault::PowerLoss { .. }
            | Fault::Stop { .. }
            | Fault::OldDisk { .. }
            | Fault::WipedDisk { .. }
            | Fault::Pause { .. }
            | Fault::FreezeShard { .. } => self.begin_with_process(fault),
            Fault::Cut { .. }
            | Fault::Flap { .. }
            | Fault::Delay { .. }
            | Fault::Reset { .. }
            | Fault::ResetAfter { .. }
            | Fault::HalfOpen { .. }
            | Fault::SlowReader { .. } => self.begin_with_link(index, fault),
            Fault::Rot { file, bits, .. } => {
                self.rot(index, *file, *bits);
                None
            }
            Fault::RotHeads { bits, .. } => {
                self.rot_heads(index, *bits);
                None
            }
            Fault::RotBehind { bits, .. } => {
                self.rot_behind(index, *bits);
                None
            }
            Fault::LostWrite { .. }
            | Fault::Misdirected { .. }
            | Fault::DiskError { .. }
            | Fault::ShortWrite { .. }
            | Fault::Stall { .. } => self.add_rule(index, fault),
            Fault::DiskFull { room_bytes, for_ms, .. } => {
                let machine = self.broker.machine();
                let used = DISK_BYTES.saturating_sub(machine.free_bytes());
                machine.set_disk_bytes(used + room_bytes);
                Some(*for_ms)
            }
            Fault::NoDescriptors { for_ms, .. } => {
                self.take_descriptors(index);
                Some(*for_ms)
            }
            Fault::SlowDisk { factor, for_ms, .. } => {
                self.broker.machine().set_disk_slowdown(u64::from(*factor));
                Some(*for_ms)
            }
            Fault::SlowNode { machine, factor, for_ms } => {
                if let Some(machine) = self.machine(*machine) {
                    machine.set_slowdown(u64::from(*factor));
                }
                Some(*for_ms)
            }
            Fault::ClockJump { machine, by_ms } => {
                if let Some(machine) = self.machine(*machine) {
                    machine.jump_wall(*by_ms);
                }
                None
            }
            Fault::ClockDrift { machine, rate_permille, for_ms } => {
                if let Some(machine) = self.machine(*machine) {
                    machine.set_clock_rate((*rate_permille).max(1));
                }
                Some(*for_ms)
            }
        }
    }

    /// Begins a fault of a process or of its whole machine.
    fn begin_with_process(&mut self, fault: &Fault) -> Option<u64> {
        match fault {
            Fault::Crash { back_ms, .. } => {
                self.take_down(*back_ms, |machine| machine.crash());
                None
            }
            Fault::PowerLoss { fate, back_ms, .. } => {
                self.lose_power(*fate, *back_ms);
                None
            }
            Fault::Stop { kill_ms, back_ms, .. } => {
                self.stop(*kill_ms, *back_ms);
                None
            }
            Fault::OldDisk { age_ms, back_ms, .. } => {
                self.replace_disk(Some(*age_ms), *back_ms);
                None
            }
            Fault::WipedDisk { back_ms, .. } => {
                self.replace_disk(None, *back_ms);
                None
            }
            Fault::Pause { machine, for_ms } => {
                if let Some(machine) = self.machine(*machine).filter(|machine| machine.is_running()) {
                    machine.pause();
                }
                Some(*for_ms)
            }
            Fault::FreezeShard { shard, for_ms, .. } => {
                self.broker.machine().freeze_shard(*shard, Duration::from_millis(*for_ms));
                None
            }
            _ => unreachable!("asked for faults of processes"),
        }
    }

    /// Begins a fault of the network.
    fn begin_with_link(&mut self, index: usize, fault: &Fault) -> Option<u64> {
        match fault {
            Fault::Cut { from, to, both, for_ms } => {
                self.set_way(*from, *to, false);
                if *both {
                    self.set_way(*to, *from, false);
                }
                Some(*for_ms)
            }
            Fault::Flap { from, to, period_ms, for_ms } => {
                self.set_way(*from, *to, false);
                self.agenda.add(self.later((*period_ms).max(1)), Cue::Flip(index));
                Some(*for_ms)
            }
            Fault::Delay { from, to, extra_ms, loss_one_in, for_ms } => {
                let extra = Span { min_ns: 0, max_ns: extra_ms * 1_000_000 };
                self.set_slow(*from, *to, Some(SlowWay { extra, loss_one_in: *loss_one_in }));
                Some(*for_ms)
            }
            Fault::Reset { .. } | Fault::ResetAfter { .. } | Fault::HalfOpen { .. } => {
                self.break_connections(fault);
                None
            }
            Fault::SlowReader { machine, rate, for_ms } => {
                if let Some(machine) = self.machine(*machine) {
                    machine.set_read_rate(Some(*rate));
                }
                Some(*for_ms)
            }
            _ => unreachable!("asked for faults of the network"),
        }
    }

    /// Ends a fault that has begun and lasts.
    pub(crate) fn end_fault(&mut self, index: usize) {
        if !self.active.contains(&index) {
            return;
        }
        self.active.retain(|active| *active != index);
        let planned = &self.plan.faults[index];
        match &planned.fault {
            Fault::Pause { machine, .. } => {
                if let Some(machine) = self.machine(*machine) {
                    machine.resume();
                }
            }
            Fault::Cut { from, to, .. } | Fault::Flap { from, to, .. } => {
                self.set_way(*from, *to, true);
                self.set_way(*to, *from, true);
            }
            Fault::Delay { from, to, .. } => self.set_slow(*from, *to, None),
            Fault::SlowReader { machine, .. } => {
                if let Some(machine) = self.machine(*machine) {
                    machine.set_read_rate(None);
                }
            }
            Fault::DiskError { .. }
            | Fault::Stall { .. }
            | Fault::LostWrite { .. }
            | Fault::Misdirected { .. }
            | Fault::NoDescriptors { .. } => {
                self.rules.borrow_mut().end(index);
            }
            Fault::DiskFull { .. } => self.broker.machine().set_disk_bytes(DISK_BYTES),
            Fault::SlowDisk { .. } => self.broker.machine().set_disk_slowdown(1),
            Fault::SlowNode { machine, .. } => {
                if let Some(machine) = self.machine(*machine) {
                    machine.set_slowdown(1);
                }
            }
            Fault::ClockDrift { machine, .. } => {
                if let Some(machine) = self.machine(*machine) {
                    machine.set_clock_rate(RIGHT_RATE_PERMILLE);
                }
            }
            Fault::Crash { .. }
            | Fault::PowerLoss { .. }
            | Fault::Stop { .. }
            | Fault::OldDisk { .. }
            | Fault::WipedDisk { .. }
            | Fault::FreezeShard { .. }
            | Fault::Reset { .. }
            | Fault::ResetAfter { .. }
            | Fault::HalfOpen { .. }
            | Fault::Rot { .. }
            | Fault::RotHeads { .. }
            | Fault::RotBehind { .. }
            | Fault::ShortWrite { .. }
            | Fault::ClockJump { .. } => {}
        }
        self.happened(Happening::FaultEnded { id: planned.id });
    }

    /// The way of a flapping fault opens or closes.
    pub(crate) fn flip(&mut self, index: usize) {
        if !self.active.contains(&index) {
            return;
        }
        let Fault::Flap { from, to, period_ms, .. } = &self.plan.faults[index].fault else { return };
        let period_ms = (*period_ms).max(1);
        let periods = self.passed_ms(self.world.now()) / u128::from(period_ms);
        self.set_way(*from, *to, periods % 2 == 1);
        self.agenda.add(self.later(period_ms), Cue::Flip(index));
    }

    /// Takes the power away, and gives it back after `back_ms`.
    pub(crate) fn lose_power(&mut self, fate: Fate, back_ms: u64) {
        let fate = match fate {
            Fate::Drawn => PowerFate::Drawn,
            Fate::Nothing => PowerFate::Nothing,
            Fate::Prefix => PowerFate::Prefix,
            Fate::Sectors => PowerFate::Sectors,
            Fate::Zeroes => PowerFate::Zeroes,
            Fate::NoNames => PowerFate::NoNames,
        };
        let mut lost_bytes = 0;
        self.take_down(back_ms, |machine| lost_bytes = machine.power_loss_with(fate));
        self.happened(Happening::PowerLost { node: NODE, lost_bytes });
    }

    fn stop(&mut self, kill_ms: u64, back_ms: u64) {
        if !self.is_up {
            return;
        }
        self.asked_to_stop = true;
        self.broker.ask_to_stop();
        self.back_ms = Some(back_ms);
        self.agenda.add(self.later(kill_ms), Cue::Kill(NODE, self.lives.get()));
    }

    /// Puts another disk into the machine: one as old as `age_ms`, or an empty one.
    fn replace_disk(&mut self, age_ms: Option<u64>, back_ms: u64) {
        self.take_down(back_ms, |machine| machine.crash());
        let machine = self.broker.machine();
        let Some(age_ms) = age_ms else { return machine.wipe_disk() };
        let wanted = self.passed_ms(self.world.now()).saturating_sub(u128::from(age_ms));
        let is_old = |at| self.passed_ms(at) <= wanted;
        let image = self.images.iter().rev().find(|(at, _)| is_old(*at)).or_else(|| self.images.front());
        if let Some((_, image)) = image {
            machine.replace_disk(image);
        }
    }

    fn set_way(&self, from: Machine, to: Machine, open: bool) {
        if let (Some(from), Some(to)) = (self.machine(from), self.machine(to)) {
            from.set_way_open(to, open);
        }
    }

    fn set_slow(&self, from: Machine, to: Machine, slow: Option<SlowWay>) {
        if let (Some(from), Some(to)) = (self.machine(from), self.machine(to)) {
            from.set_way_slow(to, slow);
        }
    }

    fn break_connections(&self, fault: &Fault) {
        let (Fault::Reset { from, to } | Fault::ResetAfter { from, to, .. } | Fault::HalfOpen { from, to }) = fault
        else {
            unreachable!("asked for faults of connections");
        };
        let (Some(one), Some(other)) = (self.machine(*from), self.machine(*to)) else { return };
        match fault {
            Fault::ResetAfter { bytes, .. } => one.reset_after(other, *bytes),
            Fault::HalfOpen { .. } => one.forget_connections(other),
            _ => one.reset_connections(other),
        }
    }

    /// Flips bits in drawn places of files of a class.
    fn rot(&self, index: usize, class: FileClass, bits: u32) {
        let is_hit = |content: &[u8], path: &Path| !content.is_empty() && is_of(class, path, DiskCallKind::Read);
        let files = self.broker.machine().files().into_iter().filter(|(path, content)| is_hit(content, path));
        let places = files.map(|(path, content)| (path, 0, content.len() as u64));
        self.flip_bits(index, bits, &places.collect::<Vec<_>>());
    }

    /// Flips bits in the heads of drawn batches.
    fn rot_heads(&self, index: usize, bits: u32) {
        let heads = |(path, positions): (PathBuf, Vec<u64>)| {
            positions.into_iter().map(move |at| (path.clone(), at, BATCH_HEAD_BYTES)).collect::<Vec<_>>()
        };
        self.flip_bits(index, bits, &self.batches().flat_map(heads).collect::<Vec<_>>());
    }

    /// Flips a bit in what the checksum of a drawn batch covers, and bits in the head of the batch behind it.
    fn rot_behind(&self, index: usize, bits: u32) {
        let neighbours = |(path, positions): (PathBuf, Vec<u64>)| {
            positions.windows(2).map(|pair| (path.clone(), pair[0], pair[1])).collect::<Vec<_>>()
        };
        let pairs: Vec<_> = self.batches().flat_map(neighbours).collect();
        if pairs.is_empty() {
            return;
        }
        let drawn = Keyed::new(self.plan.seed, "rot: neighbours").with(index as u64).below(pairs.len() as u64);
        let (path, first, second) = &pairs[usize::try_from(drawn).expect("a position")];
        let body = first + BATCH_HEAD_BYTES;
        self.flip_bits(index, 1, &[(path.clone(), body, second - body)]);
        self.flip_bits(index, bits, &[(path.clone(), *second, BATCH_HEAD_BYTES)]);
    }

    /// Where the batches of each segment begin.
    fn batches(&self) -> impl Iterator<Item = (PathBuf, Vec<u64>)> {
        let files = self.broker.machine().files().into_iter();
        let segments = files.filter(|(path, _)| is_of(FileClass::Segment, path, DiskCallKind::Read));
        segments.map(|(path, content)| (path, batch_positions(&content)))
    }

    /// Flips bits in drawn places: a file, a position and how many bytes from there.
    fn flip_bits(&self, index: usize, bits: u32, places: &[(PathBuf, u64, u64)]) {
        if places.is_empty() {
            return;
        }
        for bit in 0..bits {
            let draw = |what| Keyed::new(self.plan.seed, what).with(index as u64).with(u64::from(bit));
            let place = usize::try_from(draw("rot: file").below(places.len() as u64)).expect("a position");
            let (path, from, len) = &places[place];
            let offset = from + draw("rot: byte").below(*len);
            let flipped = u8::try_from(draw("rot: bit").below(8)).expect("below eight");
            self.broker.machine().flip_bit(path, offset, flipped);
            self.rules.borrow_mut().note_damage(path);
        }
    }

    /// What opens a file or a directory fails.
    fn take_descriptors(&self, index: usize) {
        let effect = Effect::Verdict(DiskVerdict::NO_DESCRIPTORS);
        for call in [Call::Open, Call::SyncDir] {
            let rule = Rule { fault: index, call: Some(call), file: FileClass::Any, effect, left: u32::MAX };
            self.rules.borrow_mut().add(rule);
        }
    }

    fn add_rule(&self, index: usize, fault: &Fault) -> Option<u64> {
        const ANY_NUMBER: u32 = u32::MAX;
        /// A device that fails for good does so until the heal.
        const FOREVER_MS: u64 = 86_400_000;
        let rule = |call, file, effect, left| Rule { fault: index, call: Some(call), file, effect, left };
        let (rule, lasts_ms) = match fault {
            Fault::LostWrite { file, count, .. } => {
                (rule(Call::Write, *file, Effect::Verdict(DiskVerdict::Lost), *count), FOREVER_MS)
            }
            Fault::Misdirected { file, back_bytes, .. } => {
                (rule(Call::Write, *file, Effect::Back(*back_bytes), 1), FOREVER_MS)
            }
            Fault::DiskError { call, file, count, .. } => {
                let effect = Effect::Verdict(DiskVerdict::INPUT_OUTPUT_ERROR);
                (rule(*call, *file, effect, (*count).max(1)), FOREVER_MS)
            }
            Fault::ShortWrite { file, bytes, .. } => {
                (rule(Call::Write, *file, Effect::Verdict(DiskVerdict::Short(*bytes)), 1), FOREVER_MS)
            }
            Fault::Stall { call, file, each_ms, for_ms, .. } => {
                (rule(*call, *file, delay_ms(*each_ms), ANY_NUMBER), *for_ms)
            }
            _ => unreachable!("asked for faults that are rules"),
        };
        self.rules.borrow_mut().add(rule);
        Some(lasts_ms)
    }
}
