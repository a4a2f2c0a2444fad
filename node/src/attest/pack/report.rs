//! The heights of a pack for a spreadsheet and for a program: what the headers say, no more.

use std::fmt::Write;

use quorate_verifier::header::Header;
use quorate_verifier::json::format_time;
use serde::Serialize;

use super::pretty;

/// What a report is about: the headers of a range, which is not empty, and what shows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range<'a> {
    pub(super) chain: &'a str,
    pub(super) headers: &'a [Header],
    pub(super) proved: u64,
}

/// One line for each height.
pub(super) fn csv(range: Range<'_>) -> Vec<u8> {
    let mut out = "height,time,block,parent,set,proved_by\n".to_owned();
    for header in range.headers {
        let _ = writeln!(
            out,
            "{},{},{},{},{},{}",
            header.height.get(),
            format_time(header.time),
            header.digest(),
            header.parent,
            header.validators,
            range.proved
        );
    }
    out.into_bytes()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    chain: &'a str,
    count: usize,
    first_time: Option<String>,
    heights: Vec<Row>,
    last_time: Option<String>,
    parameter_changes: Vec<String>,
    proved_by: String,
    set_changes: Vec<String>,
    r#type: &'static str,
}

#[derive(Serialize)]
struct Row {
    block: String,
    height: String,
    parent: String,
    set: String,
    time: String,
}

/// The same as a document, with the heights at which set or parameters differ from the height below.
pub(super) fn json(range: Range<'_>) -> Vec<u8> {
    let headers = range.headers;
    let changes = |differ: fn(&Header, &Header) -> bool| {
        let changed = headers.windows(2).filter(|pair| differ(&pair[0], &pair[1]));
        changed
            .map(|pair| pair[1].height.get().to_string())
            .collect()
    };
    let time = |header: Option<&Header>| header.map(|header| format_time(header.time));
    let row = |header: &Header| Row {
        block: header.digest().to_string(),
        height: header.height.get().to_string(),
        parent: header.parent.to_string(),
        set: header.validators.to_string(),
        time: format_time(header.time),
    };
    pretty(&Document {
        chain: range.chain,
        count: headers.len(),
        first_time: time(headers.first()),
        heights: headers.iter().map(row).collect(),
        last_time: time(headers.last()),
        parameter_changes: changes(|below, header| header.parameters != below.parameters),
        proved_by: range.proved.to_string(),
        set_changes: changes(|below, header| header.validators != below.validators),
        r#type: "quorate/heights/v1",
    })
}
