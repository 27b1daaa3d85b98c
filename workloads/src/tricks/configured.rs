//! What was configured is what is described: a topic and a group of the trick's own, which nobody else configures.

use std::collections::BTreeMap;

use barnabas_wire::ErrorCode;
use barnabas_wire::message::describe_configs::DescribeConfigsResource;
use barnabas_wire::message::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use barnabas_wire::message::list_config_resources::ConfigResource;
use barnabas_wire::message::{
    AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest, ListConfigResourcesRequest,
    alter_configs as legacy,
};

use super::own::{Seen, ask, first_code, is_due};
use super::{Stage, Trouble, code_of, must_be_accepted, must_be_refused};
use crate::RawClient;

/// Keys of topics, each with a value that is not its default, as DescribeConfigs shows it. None matters to an empty topic.
const OF_TOPICS: &[(&str, &str)] = &[
    ("compression.type", "zstd"),
    ("compression.gzip.level", "3"),
    ("compression.lz4.level", "17"),
    ("compression.zstd.level", "-7"),
    ("delete.retention.ms", "0"),
    ("file.delete.delay.ms", "2001"),
    ("index.interval.bytes", "1023"),
    ("max.compaction.lag.ms", "604800001"),
    ("max.message.bytes", "5000"),
    ("message.timestamp.after.max.ms", "9223372036854775807"),
    ("message.timestamp.before.max.ms", "31536000000"),
    ("message.timestamp.type", "LogAppendTime"),
    ("min.cleanable.dirty.ratio", "0.25"),
    ("min.compaction.lag.ms", "10"),
    ("retention.bytes", "2147483648"),
    ("retention.ms", "-1"),
    ("segment.bytes", "1048576"),
    ("segment.index.bytes", "1024"),
    ("segment.jitter.ms", "5"),
    ("segment.ms", "70000"),
    ("unclean.leader.election.enable", "true"),
];
/// The same of groups.
const OF_GROUPS: &[(&str, &str)] = &[
    ("consumer.heartbeat.interval.ms", "6000"),
    ("consumer.session.timeout.ms", "50000"),
    ("share.auto.offset.reset", "earliest"),
    ("share.isolation.level", "read_committed"),
    ("share.record.lock.duration.ms", "20000"),
    ("streams.heartbeat.interval.ms", "6000"),
    ("streams.num.standby.replicas", "1"),
];
/// Kinds of resources, and where what is set on them comes from.
const TOPIC: Kind = Kind { code: 2, source: 1 };
const GROUP: Kind = Kind { code: 32, source: 8 };
/// First version of ListConfigResources that names kinds.
const LIST_KINDS_VERSION: i16 = 1;
const LIST: &str = "cleanup.policy";
/// A key that no resource has.
const OF_NOTHING: &str = "no.such.key";

/// A kind of resource.
#[derive(Clone, Copy, Debug)]
struct Kind {
    code: i8,
    source: i8,
}

/// A resource of the trick's own.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    kind: Kind,
    name: String,
}

/// What IncrementalAlterConfigs does with a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Set,
    Delete,
    Append,
    Subtract,
}

/// Value and source of each key.
type Shown = BTreeMap<String, (Option<String>, i8)>;

impl Stage<'_> {
    pub(super) async fn configured(&mut self) -> Result<(), Trouble> {
        let mut raw = self.connect().await?;
        let own = self.make_own(&mut raw, 1).await?;
        let topic = Resource::topic(&own.name);
        let configured = self.configure_topic(&mut raw, &topic).await;
        let dropped = self.drop_own(&own).await;
        configured.and(dropped)?;
        let group = Resource { kind: GROUP, name: own.name };
        self.configure_group(&mut raw, &group).await
    }

    async fn configure_topic(&mut self, raw: &mut RawClient, topic: &Resource) -> Result<(), Trouble> {
        let plain = self.describe(raw, topic, None).await?;
        self.each_is_described(raw, topic).await?;
        let changed = self.change_step_by_step(raw, topic, &plain, OF_TOPICS).await?;
        self.change_a_list(raw, topic, &changed).await?;
        // The old way replaces all there is.
        let (key, value) = self.one_of(OF_TOPICS);
        must_be_accepted("a replacement of settings", self.replace(raw, topic, &[(key, value)]).await?)?;
        self.sees_configs(raw, topic, &with(&plain, topic, &[(key, value)]), "settings were replaced").await?;
        must_be_accepted("a replacement of settings by none", self.replace(raw, topic, &[]).await?)?;
        self.sees_configs(raw, topic, &plain, "settings were replaced by none").await
    }

    async fn configure_group(&mut self, raw: &mut RawClient, group: &Resource) -> Result<(), Trouble> {
        let plain = self.describe(raw, group, None).await?;
        self.each_is_described(raw, group).await?;
        let changed = self.change_step_by_step(raw, group, &plain, OF_GROUPS).await?;
        self.sees_listed(raw, group, true).await?;
        let own = changed.iter().filter(|(_, (_, source))| *source == group.kind.source);
        let deletions: Vec<(&str, &str, Change)> = own.map(|(key, _)| (key.as_str(), "", Change::Delete)).collect();
        must_be_accepted("the deletion of settings", self.alter_step(raw, group, &deletions, false).await?)?;
        self.sees_configs(raw, group, &plain, "all settings were deleted").await?;
        self.sees_listed(raw, group, false).await
    }

    /// Tries, sets, deletes, and sets together with what is wrong. What is set in the end.
    async fn change_step_by_step(
        &mut self,
        raw: &mut RawClient,
        resource: &Resource,
        plain: &Shown,
        values: &[(&'static str, &'static str)],
    ) -> Result<Shown, Trouble> {
        if let Some((key, _)) = plain.iter().find(|(_, (_, source))| *source == resource.kind.source) {
            return Err(Trouble::Broken(format!("{key} was set before anybody set it")));
        }
        let [first, second, third] = self.three_of(values);
        let both = [(first.0, first.1, Change::Set), (second.0, second.1, Change::Set)];
        must_be_accepted("a trial of settings", self.alter_step(raw, resource, &both, true).await?)?;
        self.sees_configs(raw, resource, plain, "settings were only tried").await?;
        must_be_accepted("settings", self.alter_step(raw, resource, &both, false).await?)?;
        self.sees_configs(raw, resource, &with(plain, resource, &[first, second]), "two keys were set").await?;
        let swap = [(first.0, "", Change::Delete), (third.0, third.1, Change::Set)];
        must_be_accepted("a deletion and a setting", self.alter_step(raw, resource, &swap, false).await?)?;
        let set = with(plain, resource, &[second, third]);
        self.sees_configs(raw, resource, &set, "a key was deleted, another set").await?;
        let wrong = [(first.0, first.1, Change::Set), (OF_NOTHING, "1", Change::Set)];
        let code = self.alter_step(raw, resource, &wrong, false).await?;
        must_be_refused("a key that nobody knows", code, &[ErrorCode::InvalidConfig])?;
        self.sees_configs(raw, resource, &set, "settings were refused").await?;
        self.sees_one(raw, resource, &set, second.0).await?;
        Ok(set)
    }

    async fn change_a_list(&mut self, raw: &mut RawClient, topic: &Resource, set: &Shown) -> Result<(), Trouble> {
        let steps = [
            ("compact", Change::Set, "compact"),
            ("delete", Change::Append, "compact,delete"),
            ("compact", Change::Subtract, "delete"),
        ];
        for (entry, change, expected) in steps {
            let code = self.alter_step(raw, topic, &[(LIST, entry, change)], false).await?;
            must_be_accepted("a change of a list", code)?;
            let what = format!("{change:?} {entry} to a list");
            self.sees_configs(raw, topic, &with(set, topic, &[(LIST, expected)]), &what).await?;
        }
        Ok(())
    }

    fn one_of(&mut self, values: &[(&'static str, &'static str)]) -> (&'static str, &'static str) {
        let at = self.below(values.len() as u64);
        values[usize::try_from(at).expect("a few")]
    }

    /// Three different ones.
    fn three_of(&mut self, values: &[(&'static str, &'static str)]) -> [(&'static str, &'static str); 3] {
        let mut left = values.to_vec();
        std::array::from_fn(|_| {
            let at = usize::try_from(self.below(left.len() as u64)).expect("a few");
            left.swap_remove(at)
        })
    }

    async fn sees_configs(
        &mut self,
        raw: &mut RawClient,
        resource: &Resource,
        expected: &Shown,
        what: &str,
    ) -> Result<(), Trouble> {
        let look = async |stage: &mut Self| Ok(difference(&stage.describe(raw, resource, None).await?, expected));
        self.sees(what, look).await
    }

    /// Who asks for one key is shown that one alone.
    async fn sees_one(
        &mut self,
        raw: &mut RawClient,
        resource: &Resource,
        set: &Shown,
        key: &str,
    ) -> Result<(), Trouble> {
        let expected: Shown =
            set.iter().filter(|(name, _)| *name == key).map(|(k, v)| (k.clone(), v.clone())).collect();
        let look = async |stage: &mut Self| Ok(difference(&stage.describe(raw, resource, Some(key)).await?, &expected));
        self.sees("one key was asked for", look).await
    }

    async fn sees_listed(&mut self, raw: &mut RawClient, group: &Resource, expected: bool) -> Result<(), Trouble> {
        let wanted = ConfigResource { resource_name: group.name.clone(), resource_type: group.kind.code };
        let look = async |_: &mut Self| {
            let request = ListConfigResourcesRequest { resource_types: vec![group.kind.code] };
            let response = ask(raw, LIST_KINDS_VERSION, request).await?;
            must_be_accepted("a list of what is configured", code_of(response.error_code))?;
            Ok(Seen::equal(&response.config_resources.contains(&wanted), &expected))
        };
        self.sees("a group is listed while it has settings of its own", look).await
    }

    /// Who asks for several resources is told of each, once.
    async fn each_is_described(&mut self, raw: &mut RawClient, resource: &Resource) -> Result<(), Trouble> {
        let named = |name: &str| DescribeConfigsResource {
            resource_type: resource.kind.code,
            resource_name: name.to_owned(),
            configuration_keys: Some(vec![OF_NOTHING.to_owned()]),
        };
        let other = self.own_name();
        let resources = [&resource.name, &other, &resource.name].map(|name| named(name)).into();
        let request = DescribeConfigsRequest { resources, include_synonyms: false, include_documentation: false };
        let version = self.any_version::<DescribeConfigsRequest>();
        let response = ask(raw, version, request).await?;
        let shown: Vec<_> = response.results.iter().map(|one| one.resource_name.as_str()).collect();
        is_due("the resources that are described", &shown, &vec![resource.name.as_str(), other.as_str()])
    }

    async fn describe(
        &mut self,
        raw: &mut RawClient,
        resource: &Resource,
        key: Option<&str>,
    ) -> Result<Shown, Trouble> {
        let wanted = DescribeConfigsResource {
            resource_type: resource.kind.code,
            resource_name: resource.name.clone(),
            configuration_keys: key.map(|key| vec![key.to_owned()]),
        };
        let request =
            DescribeConfigsRequest { resources: vec![wanted], include_synonyms: true, include_documentation: false };
        let version = self.any_version::<DescribeConfigsRequest>();
        let response = ask(raw, version, request).await?;
        let Some(described) = response.results.into_iter().next() else {
            return Err(Trouble::Broken("DescribeConfigs is answered without its resource".to_owned()));
        };
        must_be_accepted("a description of settings", code_of(described.error_code))?;
        if described.resource_name != resource.name || described.resource_type != resource.kind.code {
            return Err(Trouble::Broken(format!("{} is described instead", described.resource_name)));
        }
        let mut shown = Shown::new();
        for config in described.configs {
            // The layer in force is the first; its value may be in other units.
            let first = config.synonyms.first().map(|synonym| synonym.source);
            if first.is_some_and(|source| source != config.config_source) {
                return Err(Trouble::Broken(format!("{} is not the first of its layers", config.name)));
            }
            shown.insert(config.name, (config.value, config.config_source));
        }
        Ok(shown)
    }

    pub(super) async fn alter_step(
        &mut self,
        raw: &mut RawClient,
        resource: &Resource,
        changes: &[(&str, &str, Change)],
        validate_only: bool,
    ) -> Result<ErrorCode, Trouble> {
        let config = |(name, value, change): &(&str, &str, Change)| AlterableConfig {
            name: (*name).to_owned(),
            config_operation: change.code(),
            value: (!matches!(change, Change::Delete)).then(|| (*value).to_owned()),
        };
        let resource = AlterConfigsResource {
            resource_type: resource.kind.code,
            resource_name: resource.name.clone(),
            configs: changes.iter().map(config).collect(),
        };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only };
        let version = self.any_version::<IncrementalAlterConfigsRequest>();
        let response = ask(raw, version, request).await?;
        Ok(first_code(response.responses.iter().map(|one| one.error_code)))
    }

    async fn replace(
        &mut self,
        raw: &mut RawClient,
        resource: &Resource,
        values: &[(&str, &str)],
    ) -> Result<ErrorCode, Trouble> {
        let config = |(name, value): &(&str, &str)| legacy::AlterableConfig {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
        };
        let resource = legacy::AlterConfigsResource {
            resource_type: resource.kind.code,
            resource_name: resource.name.clone(),
            configs: values.iter().map(config).collect(),
        };
        let request = AlterConfigsRequest { resources: vec![resource], validate_only: false };
        let version = self.any_version::<AlterConfigsRequest>();
        let response = ask(raw, version, request).await?;
        Ok(first_code(response.responses.iter().map(|one| one.error_code)))
    }
}

impl Resource {
    /// The topic of this name.
    pub(super) fn topic(name: &str) -> Self {
        Self { kind: TOPIC, name: name.to_owned() }
    }
}

impl Change {
    const fn code(self) -> i8 {
        match self {
            Self::Set => 0,
            Self::Delete => 1,
            Self::Append => 2,
            Self::Subtract => 3,
        }
    }
}

/// `plain` with these values set on the resource itself.
fn with(plain: &Shown, resource: &Resource, values: &[(&str, &str)]) -> Shown {
    let mut shown = plain.clone();
    for (key, value) in values {
        shown.insert((*key).to_owned(), (Some((*value).to_owned()), resource.kind.source));
    }
    shown
}

/// The first key that differs.
fn difference(seen: &Shown, expected: &Shown) -> Seen {
    let keys = seen.keys().chain(expected.keys());
    let differs = keys.into_iter().find(|key| seen.get(*key) != expected.get(*key));
    differs.map_or(Seen::Right, |key| {
        Seen::Wrong(format!("{key} is {:?} where {:?} is due", seen.get(key), expected.get(key)))
    })
}
