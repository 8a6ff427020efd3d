//! The small words that the dashboards are written in.

use serde_json::{Value, json};

/// Red, yellow, green, as Grafana names them.
pub const GREEN: &str = "green";
pub const YELLOW: &str = "yellow";
pub const RED: &str = "red";

/// Every series of the chosen probes and registries.
pub const CHOSEN: &str = r#"job=~"$job", registry=~"$registry""#;
/// Every series of the chosen probes, of those that have no registry.
pub const CHOSEN_JOB: &str = r#"job=~"$job""#;

/// One panel, before it has a place.
pub struct Panel {
    kind: &'static str,
    title: &'static str,
    description: &'static str,
    width: u32,
    height: u32,
    unit: &'static str,
    steps: Vec<(Option<f64>, &'static str)>,
    options: Value,
    custom: Value,
    mappings: Value,
    targets: Vec<(String, &'static str)>,
    is_table: bool,
    /// How the value of a table's row is called; without, it is left out.
    value: Option<&'static str>,
    link: Option<(&'static str, &'static str)>,
}

impl Panel {
    fn new(kind: &'static str, title: &'static str, description: &'static str, unit: &'static str) -> Self {
        Self {
            kind,
            title,
            description,
            width: 12,
            height: 8,
            unit,
            steps: vec![(None, GREEN)],
            options: json!({}),
            custom: json!({}),
            mappings: json!([]),
            targets: Vec::new(),
            is_table: false,
            value: None,
            link: None,
        }
    }

    /// One value for each registry.
    pub fn stat(title: &'static str, description: &'static str, unit: &'static str) -> Self {
        Self {
            width: 4,
            height: 6,
            options: json!({
                "colorMode": "background", "graphMode": "none", "justifyMode": "auto", "orientation": "auto",
                "percentChangeColorMode": "standard", "showPercentChange": false, "textMode": "auto", "wideLayout": true,
                "reduceOptions": last_value(),
            }),
            ..Self::new("stat", title, description, unit)
        }
    }

    /// Lines over time.
    pub fn lines(title: &'static str, description: &'static str, unit: &'static str) -> Self {
        Self {
            options: json!({
                "legend": {"calcs": ["lastNotNull"], "displayMode": "table", "placement": "bottom", "showLegend": true},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }),
            custom: json!({"drawStyle": "line", "fillOpacity": 10, "lineWidth": 1, "showPoints": "never", "spanNulls": false}),
            ..Self::new("timeseries", title, description, unit)
        }
    }

    /// A coloured bar over time for each registry.
    pub fn timeline(title: &'static str, description: &'static str) -> Self {
        Self {
            width: 24,
            options: json!({
                "alignValue": "left", "mergeValues": true, "rowHeight": 0.8, "showValue": "auto",
                "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": true},
                "tooltip": {"mode": "single", "sort": "none"},
            }),
            custom: json!({"fillOpacity": 80, "lineWidth": 0}),
            ..Self::new("state-timeline", title, description, "short")
        }
    }

    /// Bars of what there is now.
    pub fn bars(title: &'static str, description: &'static str, unit: &'static str) -> Self {
        Self {
            width: 8,
            options: json!({
                "displayMode": "basic", "maxVizHeight": 300, "minVizHeight": 16, "minVizWidth": 8, "namePlacement": "auto",
                "orientation": "horizontal", "reduceOptions": last_value(), "showUnfilled": true, "sizing": "auto",
                "valueMode": "color",
                "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": false},
            }),
            ..Self::new("bargauge", title, description, unit)
        }
    }

    /// A row for each series, its labels in columns.
    pub fn table(title: &'static str, description: &'static str) -> Self {
        Self {
            is_table: true,
            custom: json!({"align": "auto", "inspect": false, "cellOptions": {"type": "auto"}}),
            options: json!({"cellHeight": "sm", "showHeader": true, "frameIndex": 0, "showTypeIcons": false}),
            ..Self::new("table", title, description, "short")
        }
    }

    /// A table with a column for the value too.
    pub fn counted(self, value: &'static str) -> Self {
        Self { value: Some(value), ..self }
    }

    /// A query, and how its series are named.
    pub fn query(mut self, expression: impl Into<String>, legend: &'static str) -> Self {
        self.targets.push((expression.into(), legend));
        self
    }

    /// Another width and height, of 24 columns.
    pub fn sized(self, width: u32, height: u32) -> Self {
        Self { width, height, ..self }
    }

    /// The colour from some values on; below all of them it is the first one's.
    pub fn coloured(mut self, below: &'static str, from: &[(f64, &'static str)]) -> Self {
        self.steps = vec![(None, below)];
        self.steps.extend(from.iter().map(|&(value, colour)| (Some(value), colour)));
        self
    }

    /// Words instead of numbers.
    pub fn worded(mut self, words: &[(&str, &str, &str)]) -> Self {
        let options: serde_json::Map<String, Value> = words
            .iter()
            .enumerate()
            .map(|(index, (value, text, colour))| {
                ((*value).to_string(), json!({"text": text, "color": colour, "index": index}))
            })
            .collect();
        self.mappings = json!([{"type": "value", "options": options}]);
        self
    }

    /// Where a click leads.
    pub fn linked(self, title: &'static str, url: &'static str) -> Self {
        Self { link: Some((title, url)), ..self }
    }

    fn render(&self, id: usize, x: u32, y: u32) -> Value {
        let Self { kind, title, description, width, height, unit, options, custom, mappings, .. } = self;
        let steps: Vec<Value> =
            self.steps.iter().map(|(value, colour)| json!({"value": value, "color": colour})).collect();
        let target = |(index, (expression, legend)): (usize, &(String, &str))| {
            let name = char::from(b'A' + u8::try_from(index).unwrap());
            let mut target = json!({
                "datasource": datasource(), "editorMode": "code", "expr": expression, "legendFormat": legend,
                "refId": name.to_string(), "range": !self.is_table, "instant": self.is_table,
            });
            if self.is_table {
                target["format"] = json!("table");
            }
            target
        };
        let mut panel = json!({
            "id": id, "type": kind, "title": title, "description": description,
            "datasource": datasource(),
            "gridPos": {"h": height, "w": width, "x": x, "y": y},
            "fieldConfig": {
                "defaults": {
                    "unit": unit, "mappings": mappings, "custom": custom,
                    "color": {"mode": if *kind == "timeseries" { "palette-classic" } else { "thresholds" }},
                    "thresholds": {"mode": "absolute", "steps": steps},
                },
                "overrides": [],
            },
            "options": options,
            "targets": self.targets.iter().enumerate().map(target).collect::<Vec<_>>(),
        });
        if self.is_table {
            let options = match self.value {
                Some(value) => json!({"excludeByName": {"Time": true}, "renameByName": {"Value": value}}),
                None => json!({"excludeByName": {"Time": true, "Value": true}}),
            };
            let transformation = json!({"id": "organize", "options": options});
            panel["transformations"] = json!([transformation]);
        }
        if let Some((title, url)) = self.link {
            panel["fieldConfig"]["defaults"]["links"] = json!([{"title": title, "url": url, "targetBlank": true}]);
            panel["links"] = json!([link(title, &url.replace("${__field.labels.registry}", "$registry"))]);
        }
        panel
    }
}

fn last_value() -> Value {
    json!({"calcs": ["lastNotNull"], "fields": "", "values": false})
}

fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// A link at the top of a dashboard or of a panel.
pub fn link(title: &str, url: &str) -> Value {
    json!({
        "title": title, "url": url, "type": "link", "icon": "external link", "tooltip": "", "tags": [],
        "asDropdown": false, "includeVars": false, "keepTime": false, "targetBlank": true,
    })
}

/// A mark over all panels.
pub fn annotation(name: &str, expression: &str, title: &str, colour: &str) -> Value {
    json!({
        "name": name, "datasource": datasource(), "enable": true, "iconColor": colour, "expr": expression,
        "titleFormat": title, "step": "1m",
    })
}

fn variables() -> Value {
    let of_label = |name: &str, label: &str, of: &str| {
        let query = format!("label_values({of}, {name})");
        json!({
            "name": name, "label": label, "type": "query", "datasource": datasource(),
            "definition": query, "query": {"query": query, "refId": "StandardVariableQuery"},
            "multi": true, "includeAll": true, "allValue": ".*", "refresh": 2, "sort": 1,
            "current": {"text": "All", "value": "$__all"},
        })
    };
    let text = |name: &str, label: &str, value: &str| {
        json!({
            "name": name, "label": label, "type": "textbox", "query": value, "hide": 2,
            "current": {"text": value, "value": value},
        })
    };
    json!([
        {
            "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "multi": false,
            "current": {"text": "default", "value": "default"},
        },
        of_label("job", "Job", "registry_integrity_build_info"),
        of_label("registry", "Registry", r#"registry_integrity_sweep_interval_seconds{job=~"$job"}"#),
        text("status_page", "Status page", "http://registry-integrity-probe.example.com:10500"),
        text("runbooks", "Runbooks", "https://runbooks.example.com/registry-integrity-probe"),
    ])
}

/// A dashboard of rows of panels, each row under its title.
pub fn dashboard(
    uid: &str,
    title: &str,
    description: &str,
    annotations: &[Value],
    rows: Vec<(&'static str, Vec<Panel>)>,
) -> Value {
    let mut panels = Vec::new();
    let mut y = 0;
    for (title, row) in rows {
        let grid = json!({"h": 1, "w": 24, "x": 0, "y": y});
        panels.push(json!({
            "id": panels.len() + 1, "type": "row", "title": title, "collapsed": false, "gridPos": grid, "panels": [],
        }));
        y += 1;
        let (mut x, mut tallest) = (0, 0);
        for panel in row {
            if x + panel.width > 24 {
                (x, y, tallest) = (0, y + tallest, 0);
            }
            panels.push(panel.render(panels.len() + 1, x, y));
            x += panel.width;
            tallest = tallest.max(panel.height);
        }
        y += tallest;
    }
    json!({
        "uid": uid, "title": title, "description": description, "tags": ["registry-integrity-probe"],
        "schemaVersion": 42, "version": 1, "editable": false, "graphTooltip": 1, "timezone": "browser",
        "refresh": "1m", "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": variables()},
        "annotations": {"list": annotations},
        "links": [
            link("Status page", "${status_page}"),
            link("Runbooks", "${runbooks}"),
            {
                "title": "Dashboards of the probe", "type": "dashboards", "url": "", "icon": "dashboard", "tooltip": "",
                "tags": ["registry-integrity-probe"], "asDropdown": false, "includeVars": true, "keepTime": true,
                "targetBlank": false,
            },
        ],
        "panels": panels,
    })
}
