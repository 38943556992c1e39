//! Secrets come from files: command lines and environments are seen by too many.

/// A secret shorter than this could be guessed from a recorded handshake.
const CLUSTER_SECRET_BYTES_MIN: usize = 16;

fn read(file: &str) -> Result<Vec<u8>, String> {
    let bytes = std::fs::read(file).map_err(|error| error.to_string())?;
    let bytes = bytes.trim_ascii();
    if bytes.is_empty() { Err("the file is empty".to_owned()) } else { Ok(bytes.to_vec()) }
}

/// The password in `file`: its one line.
///
/// # Errors
/// There is none.
pub(crate) fn password(file: &str) -> Result<String, String> {
    let password = String::from_utf8(read(file)?).map_err(|_| "the password is not UTF-8")?;
    if password.contains(['\n', '\r']) {
        return Err(
            "the file has several lines: it must hold the password and nothing else".to_owned()
        );
    }
    Ok(password)
}

/// The cluster's secret in `file`.
///
/// # Errors
/// There is none, or it is too short.
pub(crate) fn cluster_secret(file: &str) -> Result<Vec<u8>, String> {
    let secret = read(file)?;
    if secret.len() < CLUSTER_SECRET_BYTES_MIN {
        return Err(format!(
            "the secret must have {CLUSTER_SECRET_BYTES_MIN} bytes at least; make one with \
             `head -c 32 /dev/urandom | base64`"
        ));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file<T>(content: &[u8], look: impl FnOnce(&str) -> T) -> T {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        std::fs::write(&file, content).unwrap();
        look(file.to_str().unwrap())
    }

    #[test]
    fn a_password_is_the_files_one_line() {
        assert_eq!(with_file(b"s3cret\n", password), Ok("s3cret".to_owned()));
        for content in [b"".as_slice(), b"\n", b"a\nb\n", b"\xff"] {
            assert!(with_file(content, password).is_err(), "{}", content.escape_ascii());
        }
        assert!(password("/no/such/file").is_err());
    }

    #[test]
    fn a_short_cluster_secret_is_refused() {
        assert!(with_file(b"0123456789abcde\n", cluster_secret).is_err());
        assert_eq!(
            with_file(b"0123456789abcdef\n", cluster_secret),
            Ok(b"0123456789abcdef".to_vec())
        );
    }
}
