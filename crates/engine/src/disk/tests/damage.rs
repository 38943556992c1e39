//! Wrong bytes: found, noted, and told from a failing device.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// What one bit of a table's list of its parts turned into: a read at a place beyond what a file can have.
#[test]
fn a_place_that_no_file_can_have_is_damage_and_no_failure_of_the_device() {
    use std::io::{Error, ErrorKind};
    use std::os::unix::fs::FileExt as _;

    let dir = tempfile::tempdir().unwrap();
    let file = std::fs::File::create_new(dir.path().join("table")).unwrap();
    let read = file.read_at(&mut [0; 16], 1 << 63).unwrap_err();
    assert_eq!(read.kind(), ErrorKind::InvalidInput);
    let told = |error| base::told(lsm_tree::Error::Io(error));
    assert!(matches!(told(read), EngineError::Damage(_)));
    let failed = Error::from_raw_os_error(5);
    assert!(matches!(told(failed), EngineError::Io(_)), "of a device that fails nothing is known");
}

#[test]
fn a_flipped_bit_anywhere_is_found_or_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, model) = sealed(dir.path());
    let applied = engine.applied();
    drop(engine);
    // The first start removes what compaction has left.
    drop(DiskCellar::new(SMALL).open(dir.path()).unwrap());
    let mut files = Vec::new();
    let mut dirs = vec![dir.path().to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { dirs.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    let expected = (applied, model.clone());
    let read = || -> Result<bool, EngineError> {
        let engine = DiskCellar::new(SMALL).open(dir.path())?;
        let engine = engine.ok_or_else(|| damage("no whole state"))?;
        for (key, value) in &model {
            if engine.get(key)?.as_deref() != Some(value) {
                return Ok(false);
            }
        }
        Ok((engine.applied(), content(&*engine)?) == expected)
    };
    // The tree panics on some wrong bytes. That is caught, and need not be read in a test's output.
    std::panic::set_hook(Box::new(|panic| {
        if panic.location().is_some_and(|place| place.file() == file!()) {
            println!("{panic}");
        }
    }));
    let (mut found, mut harmless, mut wrong) = (0, 0, Vec::new());
    for (nth, file) in files.iter().enumerate() {
        let good = std::fs::read(file).unwrap();
        let bits = good.len() * 8;
        // All of a short file, and a sample of a long one.
        let step = (bits / 200).max(1);
        for bit in (nth % step..bits).step_by(step) {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(file, &bad).unwrap();
            match catch_unwind(AssertUnwindSafe(&read)) {
                Ok(Ok(true)) => harmless += 1,
                Ok(Err(EngineError::Damage(_))) => found += 1,
                other => wrong.push(format!("{} bit {bit}: {other:?}", file.display())),
            }
            std::fs::write(file, &good).unwrap();
            drop(std::fs::remove_file(dir.path().join("damaged")));
        }
    }
    drop(std::panic::take_hook());
    println!("{} files: {found} flips found, {harmless} in bytes that nobody reads", files.len());
    assert!(wrong.is_empty(), "{} times not noticed: {wrong:#?}", wrong.len());
    assert!(found > harmless);
}

#[test]
fn damage_that_a_read_meets_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = sealed(dir.path());
    drop(engine);
    let tables = dir.path().join("state-1").join("tables");
    for entry in std::fs::read_dir(tables).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        for byte in bytes.iter_mut().skip(600).take(200) {
            *byte ^= 1;
        }
        std::fs::write(&path, bytes).unwrap();
    }
    let cellar = DiskCellar::new(SMALL);
    let engine = cellar.open(dir.path());
    let met = match engine {
        Ok(engine) => content(&*engine.unwrap()).map(drop),
        Err(error) => Err(error),
    };
    assert!(matches!(met, Err(EngineError::Damage(_))), "{met:?}");
    assert!(matches!(cellar.open(dir.path()), Err(EngineError::Damage(_))), "noted");
    cellar.clear(dir.path()).unwrap();
    assert!(cellar.open(dir.path()).unwrap().is_none());
}
