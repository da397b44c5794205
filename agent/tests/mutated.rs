//! Mutated lines for every format, and mutated `[agent]` tables: records and faults, never a panic or a hang.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod read;

use agent::daemon::AgentOptions;
use agent::format::Format;
use read::Reading;

const FORMATS: [Format; 12] = [
    Format::Json,
    Format::Logfmt,
    Format::Openstack,
    Format::Hdfs,
    Format::Syslog,
    Format::Log4j,
    Format::ApacheError,
    Format::ApacheAccess,
    Format::Nginx,
    Format::EnvoyAccess,
    Format::Klog,
    Format::Python,
];
const LINES: [&str; 13] = [
    r#"{"ts":"2026-11-02T09:00:00.041Z","level":"info","app":"orders","request_id":"c-1","msg":"paid","http":{"status":500},"tags":["a",1.5e3]}"#,
    r#"time=2026-11-02T09:00:00Z level=warn msg="timed \"out\"" duration=35ms trace_id=4bf92f3577b34da6a3ce929d0e0e4736 ok"#,
    "nova-api.log.1.2017-05-16_13:53:08 2017-05-16 00:00:00.008 25746 INFO nova.osapi_compute.wsgi.server [req-38101a0b-2096-447d-96ea-a692162415ae 113d 54fa - - -] 10.11.10.1 \"GET /v2 HTTP/1.1\" status: 200 len: 1893 time: 0.2477829",
    "081109 203615 148 INFO dfs.DataNode$PacketResponder: PacketResponder 1 for block blk_38865049064139660 terminating",
    "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su 77 ID47 [exampleSDID@32473 iut=\"3\" eventSource=\"App\\]lication\"] 'su root' failed",
    "<13>Oct 11 22:14:15 mymachine su[77]: 'su root' failed for lonvick on /dev/pts/8",
    "2015-07-29 17:41:44,747 - INFO  [QuorumPeer[myid=1]/0:0:0:0:0:0:0:0:2181:FastLeaderElection@774] - Notification time out: 3200",
    "[Thu Jun 09 06:07:04 2005] [error] [client 10.0.0.1] File does not exist: /var/www",
    "127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] \"GET /apache_pb.gif HTTP/1.0\" 200 2326 \"http://example.com/\" \"Mozilla/4.08 [en]\"",
    "2026/01/02 03:04:05 [error] 31#31: *1 open() \"/x\" failed (2: No such file), client: 10.0.0.1, server: _, request: \"GET / HTTP/1.1\"",
    "[2016-04-15T20:17:00.310Z] \"POST /api/v1/locations HTTP/2\" 204 - 154 0 226 100 \"10.0.35.28\" \"nsq2http\" \"cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2\" \"locations\" \"tcp://10.0.2.1:80\"",
    "I0102 03:04:05.678901    1234 controller.go:42] \"Sync done\" pod=\"default/x\" err=\"not \\\"found\\\"\"",
    "2026-01-02 03:04:05,678 - orders.views - ERROR - payment failed",
];
const LINE_TOKENS: [&[u8]; 28] = [
    b"\n",
    b"\r\n",
    b" - ",
    b"[",
    b"]",
    b"\"",
    b"\\\"",
    b"=",
    b": ",
    b"{",
    b"}",
    b"<191>1 ",
    b"<13>",
    b"2026-02-30 25:61:61",
    b"1900-01-01T00:00:00.999999999999-23:59",
    b"+99:99",
    b"Feb 29 00:00:00",
    b"9999-12-31T23:59:60Z",
    b"[error] ",
    b"INFO ",
    b"level=",
    b"\"ts\":",
    b"HTTP/1.1",
    b"req-",
    b"|",
    b"\t",
    b"%",
    b"\x1b[31m",
];
const TABLE: &str = "[agent]\nstate = \"/var/lib/x\"\ncollector = [\"http://127.0.0.1:4318\"]\nspool_max = \"2 GiB\"\ndrop = ['url.path:/health/*']\n[agent.add]\n\"a.b\" = \"c\"\n[agent.redact]\ndetectors = [\"bearer\", \"card\"]\n[[agent.redact.rules]]\nname = \"iban\"\npattern = '[A-Z]{2}[0-9]{2}'\naction = \"mask\"\n[[agent.sources]]\nkind = \"file\"\ninclude = [\"/var/log/*/*.log\"]\nformat = \"regex\"\npattern = '^(?<time>[0-9]{2}) (?<message>.*)$'\ntime_format = \"%d.%m.%Y %H:%M:%S\"\ntimezone = \"Europe/Berlin\"\nmultiline.preset = \"java\"\n[[agent.sources]]\nkind = \"stdin\"\nname = \"in\"\ncorrelation = '(?<correlation>[a-z]+)'\nrate.records_per_second = 2000\nrate.when_over = \"drop\"\n";
const TABLE_TOKENS: [&[u8]; 24] = [
    b"\n",
    b" = ",
    b"\"",
    b"'",
    b"[[agent.sources]]\n",
    b"[agent.redact]\n",
    b"kind = \"exec\"\n",
    b"command = [\"x\"]\n",
    b"format = \"",
    b"pattern = '(?<time>'",
    b"time_format = \"%Q%\"\n",
    b"timezone = \"Mars/X\"\n",
    b"keep = ['level:>=']\n",
    b"include = ['**[', '{a,b']\n",
    b"multiline.start = '('\n",
    b"name = \"in\"\n",
    b"sample.keep_ratio = ",
    b"1e999",
    b"-1",
    b"\"0s\"",
    b"(a{1,9}){1,9}",
    b"%Y",
    b"\\p{Greek}",
    b"http = \"",
];

#[test]
fn mutated_lines_are_records_in_every_format() {
    let seeds: Vec<_> = LINES.iter().map(|line| line.as_bytes().to_vec()).collect();
    mutation::run("lines of logs", &seeds, &LINE_TOKENS, |input| {
        // As the format that it looks like, or as one that it was not written in.
        let sum: usize = input.iter().map(|byte| usize::from(*byte)).sum();
        let format =
            if sum.is_multiple_of(2) { Format::Auto } else { FORMATS[sum / 2 % FORMATS.len()] };
        let reading = Reading { format, line_bytes_max: Some(8 << 10), ..Reading::default() };
        reading.read(input).iter().any(|(_, done)| !done.unparsed)
    });
}

#[test]
fn mutated_tables_of_the_agent_are_taken_or_refused() {
    let seeds = [TABLE.as_bytes().to_vec()];
    mutation::run("agent table", &seeds, &TABLE_TOKENS, |text| {
        match AgentOptions::load(Some(("agent.toml", &String::from_utf8_lossy(text))), []) {
            Ok(options) => {
                let _ = options.sources();
                true
            }
            Err(faults) => {
                assert_eq!(faults.to_string().lines().count(), faults.all().len(), "{faults}");
                false
            }
        }
    });
}
