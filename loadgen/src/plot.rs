//! Plots of results as SVG: latency by percentile, and throughput over time.

use std::fmt::Write;

use crate::results::Results;

const WIDTH: f64 = 960.0;
const PLOT_HEIGHT: f64 = 340.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 30.0;
const TITLE: f64 = 64.0;
const LEGEND_LINE: f64 = 18.0;
/// More curves than this can't be told apart.
const MAX_CURVES: usize = 16;
/// Seconds that are drawn: eleven days.
const MAX_SECONDS: f64 = 1e6;
const COLOURS: [&str; 8] = [
    "#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#17becf", "#7f7f7f",
];

struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
}

/// Draws results, each operation a curve; with several results, each operation of each, with the result's name.
pub(crate) fn svg(results: &[(String, Results)]) -> String {
    let name = |result: &str, operation: &str| {
        if results.len() == 1 {
            operation.to_owned()
        } else {
            format!("{operation} ({result})")
        }
    };
    let mut latency = Vec::new();
    let mut throughput = Vec::new();
    for (label, result) in results {
        for (operation, measured) in &result.operations {
            if measured.count == 0 || latency.len() == MAX_CURVES {
                continue;
            }
            // 1 - p in tens: 90 % is at 1, 99 % at 2; the last point has no place on such a scale.
            let points = measured
                .percentiles
                .iter()
                .filter(|(percentile, _)| *percentile < 100.0)
                .map(|(percentile, micros)| (-(1.0 - percentile / 100.0).log10(), *micros as f64 / 1000.0));
            latency.push(Curve {
                name: name(label, operation),
                points: points.collect(),
            });
            // The last second is most often only a part of one.
            let whole_seconds = result.elapsed_s.floor().clamp(1.0, MAX_SECONDS);
            let mut seconds = vec![0u64; whole_seconds as usize];
            for moment in result
                .timeline
                .iter()
                .filter(|moment| moment.operation == *operation)
            {
                if let Some(second) = seconds.get_mut(moment.t_s as usize) {
                    *second = moment.count;
                }
            }
            throughput.push(Curve {
                name: name(label, operation),
                points: seconds
                    .iter()
                    .enumerate()
                    .map(|(at, count)| (at as f64, *count as f64))
                    .collect(),
            });
        }
    }
    let legend = latency.len() as f64 * LEGEND_LINE / 2.0 + LEGEND_LINE;
    let panel = PLOT_HEIGHT + TITLE + 30.0;
    let height = TITLE + 2.0 * panel + legend;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" \
         height=\"{height:.0}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
    );
    let _ = writeln!(
        out,
        "<text x=\"{LEFT}\" y=\"28\" font-size=\"18\">{}</text>",
        escaped(&title(results))
    );
    let _ = writeln!(
        out,
        "<text x=\"{LEFT}\" y=\"48\" fill=\"#555\">{}</text>",
        escaped(&subtitle(results))
    );
    draw_latency(&mut out, TITLE + 24.0, &latency);
    draw_throughput(&mut out, TITLE + panel + 24.0, &throughput);
    draw_legend(&mut out, TITLE + 2.0 * panel, &latency);
    out.push_str("</svg>\n");
    out
}

fn title(results: &[(String, Results)]) -> String {
    let mut names: Vec<&str> = results
        .iter()
        .map(|(_, result)| result.scenario.as_str())
        .collect();
    names.dedup();
    names.join(", ")
}

fn subtitle(results: &[(String, Results)]) -> String {
    match results {
        [(_, one)] => {
            let loop_kind = match one.parameters.get("rate_per_s") {
                Some(rate) => format!("open loop, {rate} arrivals a second"),
                None => "closed loop".to_owned(),
            };
            format!(
                "{loop_kind}, {} connections, {:.0} s, {} errors, {} wrong answers",
                one.connections, one.elapsed_s, one.errors, one.wrong
            )
        }
        many => {
            let labels: Vec<&str> = many.iter().map(|(label, _)| label.as_str()).collect();
            labels.join(", ")
        }
    }
}

fn draw_latency(out: &mut String, top: f64, curves: &[Curve]) {
    let values = || curves.iter().flat_map(|curve| &curve.points);
    let least = values()
        .map(|point| point.1)
        .fold(f64::INFINITY, f64::min)
        .max(1e-3);
    let most = values().map(|point| point.1).fold(1e-3, f64::max);
    let (bottom_decade, top_decade) = (
        least.log10().floor(),
        most.log10().ceil().max(least.log10().floor() + 1.0),
    );
    let nines = values().map(|point| point.0).fold(1.0, f64::max).ceil();
    let x = |nine: f64| LEFT + nine / nines * (WIDTH - LEFT - RIGHT);
    let y = |ms: f64| {
        top + PLOT_HEIGHT
            - (ms.max(1e-3).log10() - bottom_decade) / (top_decade - bottom_decade) * PLOT_HEIGHT
    };
    heading(
        out,
        top,
        "latency by percentile, ms (from when a request was due)",
    );
    for decade in bottom_decade as i32..=top_decade as i32 {
        let value = 10f64.powi(decade);
        horizontal(out, y(value), &shortest(value));
    }
    for nine in 0..=nines as i32 {
        let name = match nine {
            0 => "0 %".to_owned(),
            1 => "90 %".to_owned(),
            2 => "99 %".to_owned(),
            more => format!("99.{} %", "9".repeat(more as usize - 2)),
        };
        vertical(out, top, x(f64::from(nine)), &name);
    }
    let half = x(2f64.log10());
    vertical(out, top, half, "50 %");
    draw_curves(out, curves, x, y);
}

fn draw_throughput(out: &mut String, top: f64, curves: &[Curve]) {
    let values = || curves.iter().flat_map(|curve| &curve.points);
    let most = round_up(values().map(|point| point.1).fold(1.0, f64::max));
    let seconds = values().map(|point| point.0).fold(1.0, f64::max);
    let x = |second: f64| LEFT + second / seconds * (WIDTH - LEFT - RIGHT);
    let y = |count: f64| top + PLOT_HEIGHT - count / most * PLOT_HEIGHT;
    heading(out, top, "throughput over time, operations a second");
    for step in 0..=5 {
        let value = most * f64::from(step) / 5.0;
        horizontal(out, y(value), &shortest(value));
    }
    let step = round_up(seconds / 10.0).max(1.0);
    let mut second = 0.0;
    while second <= seconds {
        vertical(out, top, x(second), &format!("{} s", shortest(second)));
        second += step;
    }
    draw_curves(out, curves, x, y);
}

fn draw_curves(out: &mut String, curves: &[Curve], x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) {
    for (place, curve) in curves.iter().enumerate() {
        let mut path = String::new();
        for (across, up) in &curve.points {
            let _ = write!(path, "{:.1},{:.1} ", x(*across), y(*up));
        }
        let _ = writeln!(
            out,
            "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"1.8\"{} points=\"{}\"/>",
            COLOURS[place % COLOURS.len()],
            dashes(place),
            path.trim_end()
        );
    }
}

/// Curves beyond the colours are dashed.
fn dashes(place: usize) -> &'static str {
    if place < COLOURS.len() {
        ""
    } else {
        " stroke-dasharray=\"6 3\""
    }
}

fn draw_legend(out: &mut String, top: f64, curves: &[Curve]) {
    for (place, curve) in curves.iter().enumerate() {
        let left = LEFT + (place % 2) as f64 * (WIDTH - LEFT - RIGHT) / 2.0;
        let middle = top + (place / 2) as f64 * LEGEND_LINE;
        let _ = writeln!(
            out,
            "<line x1=\"{left:.0}\" y1=\"{middle:.0}\" x2=\"{:.0}\" y2=\"{middle:.0}\" stroke=\"{}\" \
             stroke-width=\"3\"{}/><text x=\"{:.0}\" y=\"{:.0}\">{}</text>",
            left + 24.0,
            COLOURS[place % COLOURS.len()],
            dashes(place),
            left + 32.0,
            middle + 4.0,
            escaped(&curve.name)
        );
    }
}

fn heading(out: &mut String, top: f64, text: &str) {
    let _ = writeln!(
        out,
        "<text x=\"{LEFT}\" y=\"{:.0}\">{}</text>",
        top - 10.0,
        escaped(text)
    );
}

fn horizontal(out: &mut String, y: f64, name: &str) {
    let _ = writeln!(
        out,
        "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.0}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
         <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\">{name}</text>",
        WIDTH - RIGHT,
        LEFT - 8.0,
        y + 4.0
    );
}

fn vertical(out: &mut String, top: f64, x: f64, name: &str) {
    let bottom = top + PLOT_HEIGHT;
    let _ = writeln!(
        out,
        "<line x1=\"{x:.1}\" y1=\"{top:.0}\" x2=\"{x:.1}\" y2=\"{bottom:.0}\" stroke=\"#eee\"/>\
         <text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\" fill=\"#555\">{name}</text>",
        bottom + 18.0
    );
}

/// The next of 1, 2, 5, 10, 20, …
fn round_up(value: f64) -> f64 {
    let decade = 10f64.powf(value.max(1e-9).log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    let factor = factors
        .into_iter()
        .find(|factor| factor * decade >= value * 0.999_999);
    factor.unwrap_or(10.0) * decade
}

fn shortest(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers() {
        for (value, round) in [(1.0, 1.0), (1.1, 2.0), (3.0, 5.0), (701.0, 1000.0), (0.03, 0.05)] {
            assert!((round_up(value) - round).abs() < 1e-9, "{value}");
        }
        assert_eq!(shortest(0.01), "0.01");
        assert_eq!(shortest(200.0), "200");
    }
}
