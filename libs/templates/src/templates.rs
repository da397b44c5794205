//! What came out: groups, their templates, and which shape is in which.

/// The groups of shapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Templates {
    /// In their order, without doubles.
    texts: Vec<String>,
    /// By shape.
    groups: Vec<u32>,
}

impl Templates {
    /// Of the template of each shape.
    pub(crate) fn new(of_shapes: &[&str]) -> Self {
        let mut texts = of_shapes.to_vec();
        texts.sort_unstable();
        texts.dedup();
        let group = |text: &&str| texts.binary_search(text).map_or(0, |index| index as u32);
        let groups = of_shapes.iter().map(group).collect();
        Self { texts: texts.into_iter().map(str::to_owned).collect(), groups }
    }

    /// The group of a shape; groups are numbered from zero without gaps, in the order of their templates.
    ///
    /// # Panics
    /// If [`Miner::add`](crate::Miner::add) never gave this number.
    pub fn group_of(&self, shape: u32) -> u32 {
        self.groups[shape as usize]
    }

    /// What all messages of a group have in common, with `<*>` for what varies, which may be empty, one word or several.
    /// White space of any length is one space in it. No two groups have the same.
    ///
    /// # Panics
    /// If there is no such group.
    pub fn template(&self, group: u32) -> &str {
        &self.texts[group as usize]
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether no message was added.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }
}
