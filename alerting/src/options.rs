//! The `[alerting]` table of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use crate::silence::{Conditions, Matcher};
use service::config::{Config, Fallback, Key, Kind, Table, Values};
use service::doors::TENANT;

const DAY: Duration = Duration::from_secs(86_400);

const URL: Kind = Kind::Notation {
    what: "an address, http://HOST:PORT/PATH or https://…",
    example: "http://127.0.0.1:9000/hook",
    check: check_url,
};

const LINK: Kind = Kind::Notation {
    what: "an address, http://HOST:PORT or https://…",
    example: "https://logs.example.org",
    check: check_url,
};

fn check_url(text: &str) -> Result<(), String> {
    match reqwest::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(()),
        Ok(_) => Err("must begin with http:// or https:// and name a host".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

const CONDITIONS: Kind = Kind::List(&Kind::Notation {
    what: "a condition on a label, NAME=VALUE, NAME!=VALUE, NAME=~EXPRESSION or NAME!~EXPRESSION",
    example: "severity=page",
    check: |text| Conditions::new(&[text.parse()?]).map(|_| ()),
});

const fn duration(min_ms: u64, max: Duration) -> Kind {
    Kind::Duration { min: Duration::from_millis(min_ms), max }
}

/// The table of this role.
pub const TABLE: Table = Table {
    name: "alerting",
    doc: "Evaluates alert rules and tells people.",
    keys: &[
        Key::new(
            "http",
            Kind::Address,
            Fallback::Value("127.0.0.1:3101"),
            "Where alerts, rules and notifications can be asked for; port 0 takes any free one.",
        ),
        Key::new(
            "rules",
            Kind::List(&Kind::Text),
            Fallback::Absent,
            "Files with rules; a name may have `*`. Relative to the folder in which the process runs.",
        ),
        Key::new(
            "tenant",
            TENANT,
            Fallback::Value(service::principal::TENANT_DEFAULT),
            "Whose records the rules are about.",
        ),
        Key::new(
            "max_delay",
            duration(0, DAY),
            Fallback::Value("60s"),
            "A moment is judged when every agent has sent what it had until then; after this long it is judged without.",
        ),
        Key::new(
            "group_by",
            Kind::List(&Kind::Text),
            Fallback::Value("[\"alertname\"]"),
            "Alerts with the same values of these labels are told of together.",
        ),
        Key::new(
            "group_wait",
            duration(0, DAY),
            Fallback::Value("1s"),
            "How long the first alert of a group waits for others.",
        ),
        Key::new(
            "group_interval",
            duration(0, DAY),
            Fallback::Value("30s"),
            "How long what is new in a group waits after the last notification.",
        ),
        Key::new(
            "repeat_interval",
            duration(1_000, Duration::from_secs(365 * 86_400)),
            Fallback::Value("4h"),
            "A group that still fires is told of again after this long.",
        ),
        Key::new(
            "link",
            LINK,
            Fallback::Absent,
            "Where people reach the query port, for links in alerts; its own address if not said.",
        ),
        Key::new(
            "inhibit",
            Kind::Tables(&[
                Key::new(
                    "source",
                    CONDITIONS,
                    Fallback::Required,
                    "While an alert fires that all of these match,",
                ),
                Key::new(
                    "target",
                    CONDITIONS,
                    Fallback::Required,
                    "nobody is told of those that all of these match",
                ),
                Key::new(
                    "equal",
                    Kind::List(&Kind::Text),
                    Fallback::Absent,
                    "and that have the same values of these labels.",
                ),
            ]),
            Fallback::Absent,
            "Alerts that another alert explains.",
        ),
        Key::new(
            "receivers",
            Kind::Tables(&[
                Key::new("name", Kind::Text, Fallback::Required, "Its name, unique."),
                Key::new(
                    "alertmanager.url",
                    LINK,
                    Fallback::Absent,
                    "A Prometheus Alertmanager, which groups, silences and tells by itself. A receiver has exactly one of alertmanager, slack, command and webhook.",
                ),
                Key::new(
                    "slack.url",
                    URL,
                    Fallback::Absent,
                    "An incoming webhook of Slack, or of what understands those; gets a text.",
                ),
                Key::new(
                    "command",
                    Kind::List(&Kind::Text),
                    Fallback::Absent,
                    "A program and its arguments, run with the body of a webhook on its standard input; ends with 0 if that is done.",
                ),
                Key::new(
                    "webhook.url",
                    URL,
                    Fallback::Absent,
                    "Gets a POST in the shape of Alertmanager's webhook, version 4.",
                ),
                Key::new(
                    "webhook.secret_file",
                    Kind::Path,
                    Fallback::Absent,
                    "A file with a secret: each request is signed, X-Logq-Signature: sha256=HEX of HMAC-SHA256 over its body.",
                ),
                Key::new(
                    "timeout",
                    duration(100, Duration::from_secs(300)),
                    Fallback::Value("10s"),
                    "How long an answer, or a command, may take.",
                ),
            ]),
            Fallback::Absent,
            "Who is told. Each receiver gets all alerts.",
        ),
    ],
};

/// What alerting is told to do.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertingOptions {
    /// Where it listens.
    pub http: String,
    /// Files with rules, with `*`.
    pub rules: Vec<String>,
    /// Whose records.
    pub tenant: String,
    /// How long a moment is waited for.
    pub max_delay: Duration,
    /// How alerts are told of together.
    pub grouping: Grouping,
    /// Where people reach the query port.
    pub link: Option<String>,
    /// Alerts that another alert explains.
    pub inhibit: Vec<InhibitOptions>,
    /// Who is told.
    pub receivers: Vec<ReceiverOptions>,
}

/// While an alert that `source` matches fires, nobody is told of those that `target` matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InhibitOptions {
    /// All have to hold.
    pub source: Vec<Matcher>,
    /// All have to hold.
    pub target: Vec<Matcher>,
    /// Labels of which both have the same values.
    pub equal: Vec<String>,
}

impl InhibitOptions {
    fn from_values(values: &Values) -> Result<Self, String> {
        let matchers = |key: &str| -> Result<Vec<Matcher>, String> {
            let texts: Vec<String> = values.get(key);
            if texts.is_empty() {
                return Err(format!(
                    "`{key}` of `alerting.inhibit` is empty: it would match every alert"
                ));
            }
            texts.iter().map(|text| text.parse()).collect()
        };
        let (source, target) = (matchers("source")?, matchers("target")?);
        Ok(Self { source, target, equal: values.get("equal") })
    }
}

/// How alerts are told of together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// Labels.
    pub by: Vec<String>,
    /// How long the first alert of a group waits.
    pub wait: Duration,
    /// How long news of a group waits.
    pub interval: Duration,
    /// When it is told of again.
    pub repeat: Duration,
}

/// One who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverOptions {
    /// Unique.
    pub name: String,
    /// Where it takes POST; empty for a command.
    pub url: String,
    /// What it understands.
    pub kind: ReceiverKind,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// What a receiver understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiverKind {
    /// Notifications, one POST each.
    Webhook {
        /// A file with the secret that signs.
        secret_file: Option<PathBuf>,
    },
    /// Texts.
    Slack,
    /// A program and its arguments; what a webhook gets is its input.
    Command(Vec<String>),
    /// Alerts, as Prometheus sends them.
    Alertmanager,
}

impl ReceiverOptions {
    fn from_values(values: &Values) -> Result<Self, String> {
        let name: String = values.get("name");
        let url = |key: &str| values.get::<Option<String>>(key);
        let command: Vec<String> = values.get("command");
        let secret_file = values.get("webhook.secret_file");
        let kinds = [
            url("webhook.url").map(|url| (url, ReceiverKind::Webhook { secret_file })),
            url("slack.url").map(|url| (url, ReceiverKind::Slack)),
            url("alertmanager.url").map(|url| (url, ReceiverKind::Alertmanager)),
            (!command.is_empty()).then(|| (String::new(), ReceiverKind::Command(command))),
        ];
        let mut kinds: Vec<_> = kinds.into_iter().flatten().collect();
        let (Some((url, kind)), true) = (kinds.pop(), kinds.is_empty()) else {
            return Err(format!(
                "the receiver {name:?} of `alerting.receivers` needs exactly one of `webhook.url`, `slack.url`, `alertmanager.url` and `command`"
            ));
        };
        Ok(Self { name, url, kind, timeout: values.get("timeout") })
    }
}

impl AlertingOptions {
    /// Takes the table from a configuration.
    ///
    /// # Errors
    /// What does not go together.
    pub fn from_config(config: &Config) -> Result<Self, String> {
        let values = config.table("alerting");
        let receivers: Vec<ReceiverOptions> = values
            .tables("receivers")
            .iter()
            .map(ReceiverOptions::from_values)
            .collect::<Result<_, _>>()?;
        for (index, receiver) in receivers.iter().enumerate() {
            if receivers[..index].iter().any(|other| other.name == receiver.name) {
                return Err(format!("two `alerting.receivers` are called {:?}", receiver.name));
            }
        }
        Ok(Self {
            http: values.get("http"),
            rules: values.get("rules"),
            tenant: values.get("tenant"),
            max_delay: values.get("max_delay"),
            grouping: Grouping {
                by: values.get("group_by"),
                wait: values.get("group_wait"),
                interval: values.get("group_interval"),
                repeat: values.get("repeat_interval"),
            },
            link: values.get("link"),
            inhibit: values
                .tables("inhibit")
                .iter()
                .map(InhibitOptions::from_values)
                .collect::<Result<_, _>>()?,
            receivers,
        })
    }
}
