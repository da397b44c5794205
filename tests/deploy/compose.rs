//! `deploy/compose.yaml` and what it mounts agree, and logq starts as it is told there. Nothing here runs a container.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use saphyr::{LoadableYamlNode, YamlOwned};

use super::server::{self, Home, eventually};
use super::{deploy, find, list, read, text};

fn compose() -> YamlOwned {
    parsed("compose.yaml")
}

fn parsed(name: &str) -> YamlOwned {
    let parsed = YamlOwned::load_from_str(&read(name));
    parsed.unwrap_or_else(|fault| panic!("{name}: {fault}")).swap_remove(0)
}

fn names(node: &YamlOwned, place: &str) -> Vec<String> {
    let mapping = find(node, place).and_then(YamlOwned::as_mapping).unwrap();
    mapping.keys().map(|key| key.as_str().unwrap().to_owned()).collect()
}

fn texts(node: &YamlOwned, place: &str) -> Vec<String> {
    list(node, place).iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

/// The ports of this machine that lead to a service, and those of its own.
fn ports(service: &YamlOwned) -> Vec<(u16, u16)> {
    let ports = texts(service, "ports");
    let parts = ports.iter().map(|port| port.split(':').collect::<Vec<_>>());
    parts
        .map(|parts| match parts[..] {
            ["127.0.0.1", outer, inner] => (outer.parse().unwrap(), inner.parse().unwrap()),
            _ => panic!("{parts:?} is reached from other machines"),
        })
        .collect()
}

#[test]
fn what_is_mounted_is_there_and_volumes_are_named() {
    let compose = compose();
    let volumes = names(&compose, "volumes");
    let mut used = BTreeSet::new();
    for name in names(&compose, "services") {
        for mount in texts(&compose, &format!("services/{name}/volumes")) {
            let (from, to) = mount.split_once(':').unwrap();
            assert!(to.starts_with('/'), "{mount}");
            if !from.starts_with('.') {
                assert!(volumes.iter().any(|volume| volume == from), "{mount}: no such volume");
                used.insert(from.to_owned());
                continue;
            }
            assert!(deploy().join(from).exists(), "{mount}");
            assert!(to.ends_with(":ro"), "{mount}: nothing writes into the repository");
        }
    }
    assert_eq!(used, volumes.into_iter().collect());
}

#[test]
fn images_have_fixed_tags_or_are_built_here() {
    let compose = compose();
    for name in names(&compose, "services") {
        let service = find(&compose, &format!("services/{name}")).unwrap();
        let (_, tag) = text(service, "image").split_once(':').unwrap();
        assert!(
            tag.contains('.') && tag.contains(|sign: char| sign.is_ascii_digit()),
            "{name}: {tag}"
        );
        for other in find(service, "depends_on").and_then(YamlOwned::as_vec).into_iter().flatten() {
            assert!(find(&compose, &format!("services/{}", other.as_str().unwrap())).is_some());
        }
    }
    let logq = find(&compose, "services/logq").unwrap();
    assert!(text(logq, "image").ends_with(env!("CARGO_PKG_VERSION")));
    let context = deploy().join(text(logq, "build/context"));
    assert!(context.join(text(logq, "build/dockerfile")).exists());
}

#[test]
fn the_image_is_built_by_our_toolchain_and_runs_as_nobody_in_particular() {
    let dockerfile = read("Dockerfile");
    let line = |begin: &str| {
        let found = dockerfile.lines().rfind(|line| line.starts_with(begin));
        found.unwrap_or_else(|| panic!("no {begin}"))
    };
    let toolchain = std::fs::read_to_string(deploy().join("../rust-toolchain.toml")).unwrap();
    let version = toolchain.split_once("channel = \"").unwrap().1.split_once('"').unwrap().0;
    assert!(dockerfile.contains(&format!("FROM rust:{version}-")), "not {version}");
    assert_eq!(line("USER "), "USER logq");
    assert_eq!(line("ENTRYPOINT "), "ENTRYPOINT [\"/usr/local/bin/logq\"]");
    let copied: Vec<&str> = line("COPY --from=build ").split_whitespace().collect();
    for program in ["logq", "logq-agent"] {
        assert!(
            copied.contains(&format!("/source/target/release/{program}").as_str()),
            "{copied:?}"
        );
    }
    let data = text(&compose(), "services/logq/volumes/1").split_once(':').unwrap().1.to_owned();
    assert!(dockerfile.contains(&format!("VOLUME {data}\n")));
    assert!(read("compose/logq.toml").contains(&format!("data = \"{data}\"")));
    let ignored = read("Dockerfile.dockerignore");
    assert!(["/target", "/.git"].iter().all(|folder| ignored.lines().any(|line| line == *folder)));
}

#[test]
fn ports_are_those_that_grafana_prometheus_and_people_are_told() {
    let compose = compose();
    let logq = find(&compose, "services/logq").unwrap();
    let command = texts(logq, "command").join(" ");
    let toml = read("compose/logq.toml");
    let mut inner: BTreeSet<u16> = toml
        .match_indices("\"0.0.0.0:")
        .map(|(at, begin)| toml[at + begin.len()..].split('"').next().unwrap().parse().unwrap())
        .collect();
    let port = |address: &str| address.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    inner.insert(port(&command));
    let published: BTreeSet<u16> = ports(logq).into_iter().map(|(_, inner)| inner).collect();
    assert_eq!(published, inner);
    for name in names(&compose, "services") {
        for (outer, inner) in ports(find(&compose, &format!("services/{name}")).unwrap()) {
            assert_eq!(outer, inner, "{name}: links of the dashboards name the port");
        }
    }
    inner.insert(port(text(logq, "environment/LOGQ__AGENT__HTTP")));

    let sources = parsed("compose/datasources.yaml");
    for source in list(&sources, "datasources") {
        let address = text(source, "url").strip_prefix("http://").unwrap();
        let (name, port) = address.split_once(':').unwrap();
        let service = find(&compose, &format!("services/{name}")).unwrap();
        assert!(ports(service).iter().any(|(_, inner)| inner.to_string() == port), "{address}");
    }
    let mut jobs = Vec::new();
    for job in list(&parsed("compose/prometheus.yml"), "scrape_configs") {
        let target = text(job, "static_configs/0/targets/0");
        assert!(target.starts_with("logq:") && inner.contains(&port(target)), "{target}");
        jobs.push(text(job, "job_name").to_owned());
    }
    assert_eq!(jobs, ["logq-collector", "logq-query", "logq-alerting", "logq-agent", "shop"]);
    let home =
        text(&compose, "services/grafana/environment/GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH");
    let provisioning = deploy().join("../dashboards/provisioning/dashboards/logq.yaml");
    let provisioning = std::fs::read_to_string(provisioning).unwrap();
    let (folder, file) = home.rsplit_once('/').unwrap();
    assert!(provisioning.contains(&format!("path: {folder}\n")));
    assert!(deploy().join("../dashboards/grafana").join(file).exists());
    let mounts = texts(&compose, "services/grafana/volumes");
    assert!(mounts.contains(&format!("../dashboards/grafana:{folder}:ro")));
}

/// Runs a program that checks a file; nothing, loudly, if it is missing.
fn checked(program: &str, arguments: &[&str], file: &Path) {
    let Ok(output) = Command::new(program).args(arguments).arg(file).output() else {
        server::skipped(&format!("{program} is not installed"));
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI may skip nothing");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {said}", file.display());
}

#[test]
fn prometheus_and_alertmanager_take_their_configurations() {
    // Side by side, as they are mounted.
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("prometheus.yml");
    std::fs::write(&config, read("compose/prometheus.yml")).unwrap();
    let rules = deploy().join("../dashboards/prometheus/rules.yaml");
    std::fs::copy(rules, folder.path().join("rules.yaml")).unwrap();
    checked("promtool", &["check", "config"], &config);
    checked("amtool", &["check-config"], &deploy().join("compose/alertmanager.yml"));
}

#[test]
fn logq_starts_as_it_is_composed_and_finds_itself_well() {
    let home = Home::with_config(&read("compose/logq.toml"));
    let logq = find(&compose(), "services/logq").unwrap().clone();
    let demo = texts(&logq, "command").into_iter().skip_while(|argument| argument != "--demo");
    let any_port = |argument: String| match argument.starts_with("0.0.0.0:") {
        true => "0.0.0.0:0".to_owned(),
        false => argument,
    };
    let start = |insecure: &str| {
        let mut up = home.up();
        up.args(demo.clone().map(any_port)).env("LOGQ_INSECURE", insecure);
        for listener in
            ["COLLECTOR__HTTP", "COLLECTOR__GRPC", "QUERY__HTTP", "ALERTING__HTTP", "AGENT__HTTP"]
        {
            up.env(format!("LOGQ__{listener}"), "0.0.0.0:0");
        }
        up
    };
    // Without the word it must not.
    let refused = server::run(&mut start("false"), b"");
    assert_eq!(refused.code, 2, "{refused:?}");
    let server = home.start_by(start(text(&logq, "environment/LOGQ_INSECURE")), "stop ");
    let health: Vec<String> = texts(&logq, "healthcheck/test").into_iter().skip(2).collect();
    let health: Vec<&str> = health.iter().map(String::as_str).collect();
    eventually("the check of health", || (server.logq(&health).code == 0).then_some(()));
    server.stop();
}
