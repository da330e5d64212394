//! Says where an object of the tree is declared.

use std::fmt;

/// Where an object is declared. Prints as `apps/web.yaml`, with the Applications that lead there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeclaredIn {
    /// The repository, where it is not the first place's.
    pub repository: Option<String>,
    /// The file; the folder where the tool does not tell it.
    pub path: String,
    /// Whether `path` is a file.
    pub is_file: bool,
    /// The Applications that lead to it, as `NAMESPACE/NAME`, outermost first; none where a place declares it.
    pub chain: Vec<String>,
}

/// A mistake, and where it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub text: String,
    /// Where.
    pub declared: Option<DeclaredIn>,
    /// Whether it only has no effect.
    pub is_warning: bool,
}

impl Problem {
    /// A mistake.
    pub fn of(text: String, declared: Option<DeclaredIn>) -> Self {
        Self { text, declared, is_warning: false }
    }

    /// Something without effect.
    pub fn warning(text: String) -> Self {
        Self { text, declared: None, is_warning: true }
    }
}

impl fmt::Display for DeclaredIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "." } else { &self.path };
        match &self.repository {
            Some(repository) => write!(f, "{repository}//{path}")?,
            None => f.write_str(path)?,
        }
        if !self.chain.is_empty() {
            write!(f, " (by {})", self.chain.join(" → "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.declared {
            // Most messages name the file themselves.
            Some(declared) if !self.text.contains(declared.path.as_str()) => write!(f, "{declared}: {}", self.text),
            _ => f.write_str(&self.text),
        }
    }
}
