//! What a measurement found, as an image.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::campaign::{Phase, Trial};
use super::results::Results;

const SIZE: (u32, u32) = (860, 480);

/// Colours that the colour-blind tell apart (Okabe and Ito), one for each packet size in turn.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
];

/// How far dots of several packet sizes are moved apart, so that none hides another.
const APART: f64 = 0.018;

/// Draws, for each packet size, how likely a trial is clean over the rate: a curve as the search
/// believes it, a band where the critical rate lies, and a dot for each trial, at the top if it was
/// clean and at the bottom if not.
pub(super) fn draw(results: &Results) -> Result<String> {
    let mut svg = String::new();
    // Its errors are not of a kind that threads may share.
    paint(results, &mut svg).map_err(|error| anyhow!("cannot draw the result: {error}"))?;
    Ok(svg)
}

fn paint(results: &Results, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let below = root.titled(&results.workload, ("sans-serif", 18))?;
    let mut chart = ChartBuilder::on(&below)
        .caption(results.receivers(), ("sans-serif", 14))
        .margin(14)
        .x_label_area_size(42)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..highest(results) * 1.04, -0.08..1.08)?;
    chart
        .configure_mesh()
        .x_desc("rate, Gb/s of SPEAD packets, all streams together")
        .y_desc("chance that a trial loses nothing")
        .x_labels(12)
        .y_labels(6)
        .y_label_formatter(&|chance| {
            if (0.0..=1.0).contains(chance) {
                format!("{:.0} %", chance * 100.0)
            } else {
                String::new()
            }
        })
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (at, row) in results.rows.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let outcome = &row.outcome;
        if let Some(critical) = outcome.critical {
            let band = [(critical.low, 0.0), (critical.high, 1.0)];
            chart.draw_series([Rectangle::new(band, colour.mix(0.18).filled())])?;
        }
        let shift = APART * (at as f64 - (results.rows.len() as f64 - 1.0) / 2.0);
        let dot = |trial: &Trial| {
            let height = if trial.is_clean() { 1.0 + shift } else { shift };
            Circle::new((trial.rate, height), 3, colour.mix(0.7).filled())
        };
        let trials = outcome.trials.iter().filter(|trial| trial.phase != Phase::WarmUp);
        chart.draw_series(trials.map(dot))?;
        chart
            .draw_series(LineSeries::new(outcome.curve.iter().copied(), colour.stroke_width(2)))?
            .label(label(row.packet, outcome.held))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::MiddleLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .label_font(("sans-serif", 14))
        .draw()?;
    root.present()?;
    Ok(())
}

fn label(packet: usize, held: Option<f64>) -> String {
    match held {
        Some(held) => format!("{packet} B: {held:.2} Gb/s held"),
        None => format!("{packet} B: no rate held"),
    }
}

/// The highest rate of any trial.
fn highest(results: &Results) -> f64 {
    let trials = results.rows.iter().flat_map(|row| &row.outcome.trials);
    let shown = trials.filter(|trial| trial.phase != Phase::WarmUp);
    // An axis needs some length though nothing was sent.
    shown.map(|trial| trial.rate).fold(0.1, f64::max)
}

#[cfg(test)]
mod tests {
    use super::super::campaign::{Critical, Limit, Outcome};
    use super::super::results::Row;
    use super::*;

    #[test]
    fn an_image_has_a_dot_for_each_trial_and_names_what_it_shows() {
        let trial = |phase, rate, clean: bool| {
            let faults = if clean { Vec::new() } else { vec!["lost".to_owned()] };
            Trial { phase, rate, faults, ..Trial::default() }
        };
        let trials = vec![
            trial(Phase::WarmUp, 30.0, true),
            trial(Phase::FullSpeed, 20.0, false),
            trial(Phase::Search, 10.0, true),
        ];
        let critical =
            Critical { median: 12.0, low: 11.0, high: 13.0, confidence: 0.99, lapse: 0.0 };
        let curve = vec![(0.0, 1.0), (20.0, 0.0)];
        let held = Some(11.0);
        let outcome =
            Outcome { limit: Limit::Receiver, held, critical: Some(critical), curve, trials };
        let rows = vec![Row::new(8972, outcome)];
        let mut results = Results::new(Vec::new(), "2 streams <&>".to_owned());
        results.rows = rows;
        let svg = draw(&results).unwrap();
        assert_eq!(svg.matches("<circle").count(), 2, "{svg}");
        assert!(svg.contains("8972 B: 11.00 Gb/s held"), "{svg}");
        assert!(svg.contains("2 streams &lt;&amp;&gt;"), "{svg}");
    }

    #[test]
    fn nothing_measured_is_an_image_too() {
        assert!(draw(&Results::default()).unwrap().starts_with("<svg"));
    }
}
