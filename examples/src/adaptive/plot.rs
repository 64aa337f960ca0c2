//! A picture of what happened.
use std::{error::Error, fs::File, io::BufWriter, path::Path};

use plotters::{
    prelude::*,
    style::{FontStyle, register_font},
};

use crate::{
    figures::rates,
    service::{Answer, Asked, Phase},
};

const SIZE: (u32, u32) = (1000, 460);

const CAPACITY: RGBColor = RGBColor(120, 124, 132);
const CLIENT: RGBColor = RGBColor(20, 90, 200);
const REFUSED: RGBColor = RGBColor(214, 40, 40);

pub(crate) fn draw(path: &Path, phases: &[Phase], log: &[Asked]) -> Result<(), Box<dyn Error + Send + Sync>> {
    register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| "the font cannot be read")?;
    let mut pixels = vec![0; SIZE.0 as usize * SIZE.1 as usize * 3];
    paint(&mut pixels, phases, log).map_err(|e| e.to_string())?;
    let mut encoder = png::Encoder::new(BufWriter::new(File::create(path)?), SIZE.0, SIZE.1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(())
}

fn paint(pixels: &mut [u8], phases: &[Phase], log: &[Asked]) -> Result<(), Box<dyn Error>> {
    let seconds = phases.last().map_or(0.0, |phase| phase.until);
    let most = phases.iter().map(|phase| phase.capacity).fold(0.0, f64::max);
    let rates: Vec<_> = rates(log).collect();
    let area = BitMapBackend::with_buffer(pixels, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("An adaptive rate finds a hidden limit", ("sans-serif", 22))
        .margin(14)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..seconds, 0.0..1.5 * most)?;
    let text = ("sans-serif", 15).into_font();
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(BLACK.mix(0.1))
        .light_line_style(TRANSPARENT)
        .axis_style(BLACK.mix(0.5))
        .label_style(text.clone())
        .x_desc("seconds")
        .y_desc("requests per second")
        .y_labels(7)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;

    for phase in phases {
        let corners = [(phase.from, 0.0), (phase.until, phase.capacity)];
        chart.draw_series([Rectangle::new(corners, CAPACITY.mix(0.14).filled())])?;
    }
    let edge = phases.iter().flat_map(|p| [(p.from, p.capacity), (p.until, p.capacity)]);
    let line = |colour: RGBColor| {
        move |(x, y): (i32, i32)| PathElement::new([(x, y), (x + 22, y)], colour.stroke_width(2))
    };
    chart
        .draw_series(LineSeries::new(edge, CAPACITY.stroke_width(2)))?
        .label("what the service takes")
        .legend(line(CAPACITY));
    chart
        .draw_series(LineSeries::new(rates.iter().step_by(4).copied(), CLIENT.stroke_width(2)))?
        .label("what the client asks for")
        .legend(line(CLIENT));
    for (answer, label, size) in [(Answer::TooMany, "429", 3), (Answer::FarTooMany, "429, Retry-After: 1", 5)]
    {
        let refused = log.iter().zip(&rates).filter(|(asked, _)| asked.answer == answer);
        if refused.clone().next().is_none() {
            continue;
        }
        chart
            .draw_series(refused.map(|(_, at)| Circle::new(*at, size, REFUSED.filled())))?
            .label(label)
            .legend(move |(x, y)| Circle::new((x + 11, y), size, REFUSED.filled()));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .legend_area_size(34)
        .background_style(WHITE.mix(0.9))
        .border_style(BLACK.mix(0.15))
        .label_font(text)
        .draw()?;
    area.present()?;
    Ok(())
}
