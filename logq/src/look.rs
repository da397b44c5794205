//! `logq fields`, `values`, `services`, `stats`, `explain`: what is there, before and beside searching.

use anyhow::Result;
use serde_json::{Value, json};

use crate::arguments::{Asking, Limit, Look, OutputForm, Search, Stats, Times, Values};
use crate::client;
use crate::exit::Exit;
use crate::output::ColorChoice;

pub(crate) async fn fields(look: &Look) -> Result<Exit> {
    let seen = match post(&look.asking, "fields", &body(&look.query, &look.time)).await {
        Ok(seen) => seen,
        Err(exit) => return Ok(exit),
    };
    if look.asking.output == OutputForm::Json {
        println!("{seen}");
        return Ok(found(&seen["fields"]));
    }
    let records = seen["records"].as_u64().unwrap_or_default();
    let mut rows = vec![["FIELD", "TYPE", "RECORDS", "FOR EXAMPLE"].map(str::to_owned)];
    for field in seen["fields"].as_array().into_iter().flatten() {
        let texts = |name: &str| -> Vec<&str> {
            field[name].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
        };
        let share = field["records"].as_u64().unwrap_or_default() as f64 / records.max(1) as f64;
        rows.push([
            field["name"].as_str().unwrap_or_default().to_owned(),
            texts("types").join(", "),
            format!("{:.0} %", share * 100.0),
            texts("examples").join(" · ").replace(char::is_control, " "),
        ]);
    }
    print_table(&rows, &[2]);
    let of = if seen["all"] == true { "all" } else { "the newest" };
    eprintln!("{}", crate::output::dimmed_error(&format!("of {of} {records} records that match")));
    Ok(found(&seen["fields"]))
}

pub(crate) async fn values(values: &Values) -> Result<Exit> {
    let field = quoted(&values.field);
    let query = format!("{} | top {} {field}", values.query, values.limit.max(1));
    search(query, &values.time, &values.asking).await
}

pub(crate) async fn services(look: &Look) -> Result<Exit> {
    let query = format!(
        "{} | eval error = if(level >= \"error\", 1, 0) \
         | stats count() as records, sum(error) as errors, max(timestamp) as newest by service | sort -records",
        look.query
    );
    search(query, &look.time, &look.asking).await
}

pub(crate) async fn stats(stats: &Stats) -> Result<Exit> {
    let client = match stats.asking.server.client() {
        Ok(client) => client,
        Err(exit) => return Ok(exit),
    };
    let url = stats.asking.server.url("stats");
    let stored = match read(&stats.asking.server.addr, client.get(&url)).await {
        Ok(stored) => stored,
        Err(exit) => return Ok(exit),
    };
    if stats.asking.output == OutputForm::Json {
        println!("{stored}");
    } else {
        let text = |name: &str| stored[name].as_str().unwrap_or("-").to_owned();
        let number = |name: &str| stored[name].as_u64().unwrap_or_default();
        println!("tenant     {}", text("tenant"));
        println!(
            "records    {}, {} of them not yet in segments",
            number("records"),
            number("records_in_memory")
        );
        println!(
            "segments   {}, {:.1} MB on the disk",
            number("segments"),
            number("bytes") as f64 / 1e6
        );
        println!("from       {}", text("oldest"));
        println!("to         {}\n", text("newest"));
    }
    let times = Times { since: format!("{}d", stats.days), until: "now".to_owned() };
    let query = "* | stats count() as records by service, bin(1d) as day | sort -day, -records";
    search(query.to_owned(), &times, &stats.asking).await
}

pub(crate) async fn explain(look: &Look) -> Result<Exit> {
    match explanation(&look.query, &look.time, &look.asking).await {
        Ok(()) => Ok(Exit::Success),
        Err(exit) => Ok(exit),
    }
}

/// What the query would do, then what it did.
pub(crate) async fn explained(search: &Search) -> Result<Exit> {
    let server = &search.asking.server;
    if let Err(exit) = explanation(&search.query, &search.time, &search.asking).await {
        return Ok(exit);
    }
    let client = match server.client() {
        Ok(client) => client,
        Err(exit) => return Ok(exit),
    };
    let mut body = body(&search.query, &search.time);
    if let Some(Limit::Rows(rows)) = search.limit {
        body["limit"] = json!(rows);
    }
    let url = server.url("query");
    let mut response = match client.post(&url).json(&body).send().await {
        Ok(response) => response,
        Err(error) => return Ok(client::unreachable(&server.addr, &error)),
    };
    let (mut lines, mut summary) = (crate::lines::Lines::default(), Value::Null);
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => lines.push(&chunk, &mut |line| {
                if line.starts_with(b"{\"summary\":") {
                    summary = serde_json::from_slice(line).unwrap_or_default();
                }
            }),
            Ok(None) => break,
            Err(error) => {
                eprintln!("logq: the answer was cut off and is partial: {error}");
                return Ok(Exit::Partial);
            }
        }
    }
    let summary = &summary["summary"];
    if search.asking.output == OutputForm::Json {
        println!("{summary}");
        return Ok(Exit::Success);
    }
    println!("\nit did");
    println!("  found    {} records, gave out {} rows", summary["matched"], summary["rows"]);
    println!(
        "  read     {} sources with {} rows, left {} out",
        summary["sources_read"], summary["rows_in_sources"], summary["sources_pruned"]
    );
    println!(
        "  took     {:.1} ms, after {:.1} ms in the queue",
        summary["took_ms"].as_f64().unwrap_or_default(),
        summary["queued_ms"].as_f64().unwrap_or_default()
    );
    if let Some(reason) = summary["reason"].as_str() {
        println!("  partial  {reason}");
        return Ok(Exit::Partial);
    }
    Ok(Exit::Success)
}

async fn explanation(query: &str, times: &Times, asking: &Asking) -> Result<(), Exit> {
    let plan = post(asking, "explain", &body(query, times)).await?;
    if asking.output == OutputForm::Json {
        println!("{plan}");
        return Ok(());
    }
    let text = |name: &str| plan[name].as_str().unwrap_or_default();
    println!("it would");
    println!("  search   {} from {} until {}", text("signal"), text("from"), text("until"));
    println!("  for      {}", text("filter"));
    let part = |name: &str, what: &str| {
        let of = &plan[name];
        println!(
            "  in       {} {what} with {} rows; the index rules {} of them out",
            of["sources"], of["rows"], of["sources_pruned_by_index"]
        );
    };
    part("segments", "segments");
    part("memory", "pieces of memory");
    println!("  leave    {} out by their times", plan["sources_pruned_by_time"]);
    let how = if plan["exact"] == true { "exactly" } else { "at most" };
    println!("  find     {how} {} records", plan["rows_at_most"]);
    let columns = plan["columns"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let columns = columns.collect::<Vec<_>>().join(", ");
    println!("  read     columns: {columns}; order: {}", text("order"));
    for stage in plan["stages"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        println!("  then     {stage}");
    }
    for warning in plan["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        println!("  warning  {warning}");
    }
    Ok(())
}

/// A search that prints as `logq search` does.
async fn search(query: String, times: &Times, asking: &Asking) -> Result<Exit> {
    let search = Search {
        query,
        follow: false,
        explain: false,
        no_pager: false,
        color: ColorChoice::Auto,
        time: times.clone(),
        limit: None,
        asking: asking.clone(),
    };
    crate::search::run(&search).await
}

fn body(query: &str, times: &Times) -> Value {
    json!({ "query": query, "since": times.since, "until": times.until })
}

pub(crate) async fn post(asking: &Asking, route: &str, body: &Value) -> Result<Value, Exit> {
    let client = asking.server.client()?;
    let url = asking.server.url(route);
    read(&asking.server.addr, client.post(&url).json(body)).await
}

pub(crate) async fn read(addr: &str, request: reqwest::RequestBuilder) -> Result<Value, Exit> {
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => return Err(client::unreachable(addr, &error)),
    };
    if !response.status().is_success() {
        return Err(crate::search::refused(addr, response).await);
    }
    response.json().await.map_err(|error| {
        eprintln!("logq: the answer cannot be read: {}", client::reason(&error));
        Exit::Unreachable
    })
}

fn found(members: &Value) -> Exit {
    let any = members.as_array().is_some_and(|members| !members.is_empty());
    if any { Exit::Success } else { Exit::Failure }
}

/// A name as a field of a stage: in quotes unless it is plainly a name.
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_.@-".contains(c);
    if !name.starts_with('-') && name.chars().all(plain) {
        name.to_owned()
    } else {
        Value::from(name).to_string()
    }
}

/// Prints rows with their columns aligned; the columns in `numbers` to the right.
fn print_table<const COLUMNS: usize>(rows: &[[String; COLUMNS]], numbers: &[usize]) {
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = widths[column].min(60);
            match (numbers.contains(&column), column + 1 == COLUMNS) {
                (true, _) => format!("{cell:>width$}"),
                (false, true) => cell.clone(),
                (false, false) => format!("{cell:<width$}"),
            }
        });
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}
