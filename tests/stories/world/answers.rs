//! What the API server of a story answers to what a plan has to know.
//!
//! `alike yes|no`: whether a template that is written otherwise makes the same pods; `alike unknown WHY`: it cannot be asked. `admits`: pods are admitted; `admits no WHY`;
//! `admits unknown WHY`: it cannot be asked.

use shard_operator::model::{Admission, Alike, Answers, Note, Question, Reason, Same};

pub struct Knows {
    alike: Same,
    admission: Admission,
}

impl Default for Knows {
    fn default() -> Self {
        Self { alike: Same::No, admission: Admission::Admitted }
    }
}

impl Knows {
    pub fn makes(&mut self, what: &str) {
        self.alike = match what.split_once(' ') {
            Some(("unknown", why)) => Same::Unknown(why.to_owned()),
            _ if what == "yes" => Same::Yes,
            _ => Same::No,
        };
    }

    pub fn admits(&mut self, what: &str) {
        self.admission = match what.split_once(' ') {
            Some(("no", why)) => {
                Admission::Refused { note: Note::new(Reason::TemplateRefused, why), stalled: true }
            }
            Some(("unknown", why)) => Admission::Unknown(why.to_owned()),
            _ => Admission::Admitted,
        };
    }

    /// Answers it, and tells what was asked.
    pub fn answer(&self, question: &Question, answers: &mut Answers) -> String {
        match question {
            Question::Alike { layout, stands, identity, .. } => {
                let same = self.alike.clone();
                answers.alike = Some(Alike { layout: *layout, identity: identity.clone(), same });
                format!(
                    "  ask     whether it is what StatefulSet/{stands} stands for: {}\n",
                    match &self.alike {
                        Same::Yes => "yes",
                        Same::No => "no",
                        Same::Unknown(_) => "not known",
                    }
                )
            }
            Question::Admission { pod } => {
                answers.admission = Some(self.admission.clone());
                let said = match &self.admission {
                    Admission::Admitted => "yes",
                    Admission::Refused { .. } => "no",
                    Admission::Unknown(_) => "not known",
                };
                format!(
                    "  ask     whether Pod/{} would be admitted: {said}\n",
                    pod["metadata"]["name"].as_str().unwrap()
                )
            }
        }
    }
}
