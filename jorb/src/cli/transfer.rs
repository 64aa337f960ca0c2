//! `export`, `import`
use std::{
    fs::File,
    io::{BufReader, BufWriter, Write},
    path::Path,
};

use super::{RunFile, Streams};
use crate::{BoxError, Error, Run, Workflow};

pub(super) fn export<W: Workflow>(
    file: &RunFile<W>,
    to: Option<&Path>,
    io: &mut Streams<'_>,
) -> Result<(), BoxError> {
    let (mut run, _copy) = file.of_one_moment()?;
    let Some(path) = to.filter(|path| *path != Path::new("-")) else {
        run.export(&mut *io.out)?;
        return Ok(());
    };
    let mut out = BufWriter::new(File::create(path).map_err(Error::disk(path, "write the export"))?);
    let jobs = run.export(&mut out)?;
    out.flush().and_then(|()| out.get_ref().sync_all()).map_err(Error::disk(path, "write the export"))?;
    writeln!(io.err, "{jobs} jobs exported to {}", path.display())?;
    Ok(())
}

pub(super) fn import<W: Workflow>(
    file: &RunFile<W>,
    from: &Path,
    check: bool,
    err: &mut dyn Write,
) -> Result<(), BoxError> {
    let lines = BufReader::new(File::open(from).map_err(Error::disk(from, "open it"))?);
    if check {
        let jobs = Run::<W>::check_import(lines)?;
        writeln!(err, "{jobs} jobs are good")?;
    } else {
        let jobs = Run::import_boxed(file.store()?, lines)?;
        writeln!(err, "{jobs} jobs imported into {}", file.path().display())?;
    }
    Ok(())
}
