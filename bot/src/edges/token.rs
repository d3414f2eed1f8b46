//! The bot's token: from a file that may be replaced, for every IDENTIFY, RESUME and REST client.
//!
//! In a pod the Secret is mounted, and the kubelet replaces the file some time after the Secret changed; a local run is
//! given its token once. A [`Token`] redacts itself, so that no log line and no error can show it. Deliberately absent:
//! any check of its form, which only Discord knows.

use std::{fmt, io, path::PathBuf, time::Duration};

/// How often a file is looked at by those who wait for another token. The kubelet itself needs up to a minute.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A bot token, without the word `Bot`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    /// Takes a token as typed: without surrounding blanks and without `Bot `.
    pub(crate) fn new(typed: &str) -> Self {
        let typed = typed.trim();
        Self(typed.strip_prefix("Bot ").unwrap_or(typed).trim().to_owned())
    }

    /// The secret itself, for the request that needs it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

/// Where the token comes from.
#[derive(Clone, Debug)]
pub(crate) enum TokenSource {
    /// It was given once and stays.
    Given(Token),
    /// It is read anew each time.
    File(PathBuf),
}

/// The token cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("could not read the token file {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds nothing.
    #[error("the token file {} is empty: put the bot's token into the Secret", path.display())]
    Empty {
        /// Which file.
        path: PathBuf,
    },
}

impl TokenSource {
    /// The token as it is now.
    pub(crate) fn read(&self) -> Result<Token, TokenError> {
        let path = match self {
            Self::Given(token) => return Ok(token.clone()),
            Self::File(path) => path,
        };
        let text = std::fs::read_to_string(path)
            .map_err(|source| TokenError::Read { path: path.clone(), source })?;
        let token = Token::new(&text);
        if token.reveal().is_empty() {
            return Err(TokenError::Empty { path: path.clone() });
        }
        Ok(token)
    }

    /// Whether another token than this one can be read now. A file that cannot be read is no other token.
    pub(crate) fn differs_from(&self, token: &Token) -> bool {
        self.read().is_ok_and(|now| now != *token)
    }

    /// Waits until another token than this one can be read; forever where it was given once.
    pub(crate) async fn other_than(&self, token: &Token) {
        if matches!(self, Self::Given(_)) {
            std::future::pending::<()>().await;
        }
        while !self.differs_from(token) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_never_shows_itself() {
        let token = Token::new(" Bot MTAw.secret\n");
        assert_eq!(token.reveal(), "MTAw.secret");
        assert_eq!(format!("{:?}", TokenSource::Given(token)), "Given(Token(redacted))");
    }

    #[test]
    fn a_missing_and_an_empty_file_are_said() {
        let folder = tempfile::tempdir().unwrap();
        let source = TokenSource::File(folder.path().join("token"));
        assert!(matches!(source.read(), Err(TokenError::Read { .. })));
        std::fs::write(folder.path().join("token"), "\n").unwrap();
        assert!(source.read().unwrap_err().to_string().contains("is empty"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_replaced_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "old").unwrap();
        let source = TokenSource::File(path.clone());
        let old = source.read().unwrap();
        let waiting = tokio::spawn({
            let (source, old) = (source.clone(), old.clone());
            async move { source.other_than(&old).await }
        });
        tokio::task::yield_now().await;
        std::fs::write(&path, "new").unwrap();
        waiting.await.unwrap();
        assert!(source.differs_from(&old));
    }

    /// The kubelet writes each version into a folder of its own and swaps the link `..data` by renaming; the file that pods
    /// see is a link through it.
    #[tokio::test(start_paused = true)]
    async fn a_secret_replaced_as_the_kubelet_does_it_is_noticed_and_never_missing() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().unwrap();
        let version = |name: &str, token: &str| {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join("token"), token).unwrap();
            symlink(name, folder.path().join("..data_tmp")).unwrap();
            std::fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
        };
        version("..1", "old");
        symlink("..data/token", folder.path().join("token")).unwrap();
        let source = TokenSource::File(folder.path().join("token"));
        let old = source.read().unwrap();
        assert!(!source.differs_from(&old));
        version("..2", "new");
        std::fs::remove_dir_all(folder.path().join("..1")).unwrap();
        source.other_than(&old).await;
        assert_eq!(source.read().unwrap().reveal(), "new");
    }
}
