//! Values by number, where a number is free again only when it is said so.

/// Values, and the numbers that are free.
#[derive(Debug)]
pub struct Slab<T> {
    places: Vec<Option<T>>,
    free: Vec<usize>,
    /// Numbers whose values are gone, but for which news may still come.
    gone: Vec<usize>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new(), gone: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Puts a value in: its number.
    pub fn insert(&mut self, value: T) -> usize {
        let at = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[at] = Some(value);
        at
    }

    /// The value of a number, if it has one.
    pub fn get(&self, at: usize) -> Option<&T> {
        self.places.get(at)?.as_ref()
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.places.get_mut(at)?.as_mut()
    }

    /// Takes a value out. Its number is not given to another before
    /// [`Self::reuse`].
    pub fn remove(&mut self, at: usize) -> Option<T> {
        let value = self.places.get_mut(at)?.take()?;
        self.gone.push(at);
        Some(value)
    }

    /// Lets the numbers of removed values be given again.
    pub fn reuse(&mut self) {
        self.free.append(&mut self.gone);
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len() - self.gone.len()
    }

    /// All values.
    pub fn into_values(self) -> impl Iterator<Item = T> {
        self.places.into_iter().flatten()
    }

    /// All values with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.places.iter().enumerate().filter_map(|(at, value)| Some((at, value.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_another_values_only_when_it_is_said() {
        let mut slab = Slab::default();
        let (a, b) = (slab.insert('a'), slab.insert('b'));
        assert_eq!(slab.remove(a), Some('a'));
        assert_eq!(slab.remove(a), None);
        let c = slab.insert('c');
        assert_ne!(c, a);
        assert_eq!(slab.len(), 2);
        slab.reuse();
        assert_eq!(slab.insert('d'), a);
        assert_eq!(slab.get_mut(b), Some(&mut 'b'));
        assert_eq!(slab.len(), 3);
        assert_eq!(slab.get_mut(9), None);
    }
}
