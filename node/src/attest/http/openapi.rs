//! The interface as an OpenAPI 3.1 document, made from the table of routes.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Context;
use super::problem::{KINDS, Problem};
use super::route::{Answer, Cache, Call, Listener, Route, Verb};
use super::table::ROUTES;

/// `GET /openapi.json`.
pub(super) fn serve(_: &Arc<Context>, _: &Call) -> Result<Answer, Problem> {
    Ok(Answer::json(&document(), Cache::Revalidate))
}

/// The document. It speaks of all listeners; each path says which one serves it.
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let path = route.path.replace("...}", "}");
        let method = route.method.as_str().to_lowercase();
        let entry = paths.entry(path).or_insert_with(|| json!({}));
        if let Value::Object(entry) = entry {
            entry.insert(method, operation(route));
        }
    }
    let kinds: Vec<_> = KINDS
        .iter()
        .map(|(kind, _)| format!("urn:quorate:problem:{kind}"))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Quorate attestation service",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Whether blocks are final, and what shows it, without naming who signed",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Problem": {
                "type": "object",
                "required": ["type", "title", "status", "detail"],
                "properties": {
                    "type": {"type": "string", "enum": kinds},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                },
            }},
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut parameters = Vec::new();
    for segment in route.path.split('/').filter(|part| part.starts_with('{')) {
        let name = segment.trim_matches(['{', '}']).trim_end_matches("...");
        parameters.push(json!({
            "name": name, "in": "path", "required": true, "schema": {"type": "string"},
        }));
    }
    for parameter in route.query {
        parameters.push(json!({
            "name": parameter.name, "in": "query", "description": parameter.about,
            "schema": {"type": "string", "pattern": parameter.pattern},
        }));
    }
    let mut responses = Map::new();
    for status in route.statuses {
        let body = if *status < 300 {
            let content: Map<String, Value> = route
                .answers
                .iter()
                .filter(|_| *status != 204)
                .map(|media| ((*media).to_owned(), json!({})))
                .collect();
            json!({"description": "what was asked for", "content": content})
        } else {
            problem("why not")
        };
        responses.insert(status.to_string(), body);
    }
    responses.insert("default".into(), problem("any problem"));
    let listener = match route.listener {
        Listener::Public => "public",
        Listener::Operator => "operator",
        Listener::Metrics => "metrics",
    };
    let mut operation = json!({
        "summary": route.about,
        "tags": [listener],
        "parameters": parameters,
        "responses": responses,
    });
    if let Value::Object(members) = &mut operation {
        if let Some(role) = route.role {
            members.insert("security".into(), json!([{"bearer": []}]));
            members.insert("x-role".into(), json!(role.word()));
        }
        if route.method == Verb::Post {
            let body = json!({"required": true, "content": {"*/*": {}}});
            members.insert("requestBody".into(), body);
        }
    }
    operation
}

fn problem(description: &str) -> Value {
    json!({
        "description": description,
        "content": {"application/problem+json": {
            "schema": {"$ref": "#/components/schemas/Problem"},
        }},
    })
}
