//! Tokens: refused and taken again while the simulator runs, as when an owner makes a new one.
//!
//! From: `POST /control/tokens`. For: tests of rotation and of a token that was taken away. Tokens are never shown: a request
//! may name one, an answer never does. Deliberately absent: new bots; those exist from the start.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ControlError, bad};
use crate::discord::Discord;
use crate::options::Token;
use crate::snowflake::Snowflake;

/// A token's new state.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeToken {
    /// The token; its first part must name a bot that the simulator was started with. One that is not known becomes known.
    pub token: String,
    /// Whether it is refused from now on: REST 401, gateway 4004. The bot's sessions are closed with 4004.
    pub refused: bool,
}

impl fmt::Debug for ChangeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = Token::new(&self.token);
        f.debug_struct("ChangeToken").field("token", &token).field("refused", &self.refused).finish()
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangedToken {
    /// The bot that the token is of.
    pub application_id: Snowflake,
    /// Sessions that were ended.
    pub ended: usize,
}

impl Discord {
    /// Refuses a token or takes it (again).
    pub fn change_token(&self, request: &ChangeToken) -> Result<ChangedToken, ControlError> {
        let token = Token::new(&request.token);
        if !token.is_well_formed() {
            return Err(bad("token: found no 1 to 200 visible ASCII characters; copy it again"));
        }
        let application_id = token.application();
        if self.bot(application_id).is_none() {
            return Err(bad(
                "token: found one of a bot that does not exist; use the first part of a token given at the start",
            ));
        }
        let ended = self.set_token(token, !request.refused);
        Ok(ChangedToken { application_id, ended })
    }
}
