//! Items by id and by name.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::bytes::Bytes;
use super::descriptor::ItemDescriptor;
use super::error::ValueError;
use super::outgoing::Outgoing;
use super::sample::Sample;
use super::update::UpdateLog;
use super::value::{Array, Value};
use crate::wire::ids;

/// How many items a group takes from a stream, if nothing else is said. Far more than instruments
/// have, and few enough that a broken sender does not fill memory with names.
const MAX_ITEMS: usize = 1 << 16;

/// An item: a descriptor, and a value with a version.
///
/// The version starts at 1 and grows whenever the value is set.
#[derive(Clone, Debug)]
pub struct Item {
    descriptor: Arc<ItemDescriptor>,
    value: Option<Value>,
    version: u64,
}

impl Item {
    /// An item without a value.
    #[must_use]
    pub fn new(descriptor: ItemDescriptor) -> Self {
        Self { descriptor: Arc::new(descriptor), value: None, version: 1 }
    }

    /// What the item is.
    #[must_use]
    pub fn descriptor(&self) -> &ItemDescriptor {
        &self.descriptor
    }

    pub(super) fn shared_descriptor(&self) -> &Arc<ItemDescriptor> {
        &self.descriptor
    }

    /// The item's id.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.descriptor.id()
    }

    /// The item's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.descriptor.name()
    }

    /// The value, if it has one.
    #[must_use]
    pub fn value(&self) -> Option<&Value> {
        self.value.as_ref()
    }

    /// Which value it is.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Says that the value changed though it was not set: it will be sent again.
    pub fn bump_version(&mut self) {
        self.version += 1;
    }

    /// Sets the value to one that an equal descriptor made.
    ///
    /// # Errors
    /// If it has another type, order or shape.
    pub fn set(&mut self, value: Value) -> Result<(), ValueError> {
        let descriptor = &self.descriptor;
        if value.element() != descriptor.element() || value.order() != descriptor.order() {
            return Err(ValueError::OtherType {
                value: value.element().to_string(),
                item: descriptor.type_name(),
            });
        }
        if !descriptor.compatible_shape(value.shape()) {
            let (shape, expected) = (value.shape().to_vec(), descriptor.shape().to_vec());
            return Err(ValueError::Shape { shape, expected });
        }
        self.put(value);
        Ok(())
    }

    /// Sets the elements, in C order; see [`ItemDescriptor::value`].
    ///
    /// # Errors
    /// If they do not fit the type or the shape.
    pub fn set_slice<T: Sample>(&mut self, elements: &[T]) -> Result<(), ValueError> {
        self.put(self.descriptor.value(elements)?);
        Ok(())
    }

    /// Sets a scalar.
    ///
    /// # Errors
    /// If it does not fit the type, or the item is no scalar.
    pub fn set_scalar<T: Sample>(&mut self, element: T) -> Result<(), ValueError> {
        self.put(self.descriptor.scalar_value(element)?);
        Ok(())
    }

    /// Sets an array.
    ///
    /// # Errors
    /// If it does not fit the type or the shape.
    pub fn set_array<T: Sample>(&mut self, array: &Array<T>) -> Result<(), ValueError> {
        self.put(self.descriptor.array_value(array)?);
        Ok(())
    }

    /// Sets a text; see [`ItemDescriptor::text_value`].
    ///
    /// # Errors
    /// If it does not fit the type or the shape.
    pub fn set_text(&mut self, text: &str) -> Result<(), ValueError> {
        self.put(self.descriptor.text_value(text)?);
        Ok(())
    }

    /// Sets the bytes that are sent, without copying them.
    ///
    /// # Errors
    /// If they are not exactly as many as the shape needs.
    pub fn set_bytes(&mut self, bytes: impl Into<Bytes>) -> Result<(), ValueError> {
        self.put(self.descriptor.bytes_value(bytes)?);
        Ok(())
    }

    pub(super) fn put(&mut self, value: Value) {
        self.value = Some(value);
        self.version += 1;
    }

    /// What a heap has to carry for the value, if there is one.
    #[must_use]
    pub fn to_outgoing(&self) -> Option<Outgoing> {
        self.value.as_ref().map(|value| Outgoing {
            id: self.id(),
            bytes: value.shared_bytes().clone(),
            allow_immediate: self.descriptor.allow_immediate(),
        })
    }
}

impl From<ItemDescriptor> for Item {
    fn from(descriptor: ItemDescriptor) -> Self {
        Self::new(descriptor)
    }
}

/// What items are found by: their id, or their name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ItemKey<'a> {
    /// The id.
    Id(u64),
    /// The name.
    Name(&'a str),
}

impl From<u64> for ItemKey<'_> {
    fn from(id: u64) -> Self {
        Self::Id(id)
    }
}

impl<'a> From<&'a str> for ItemKey<'a> {
    fn from(name: &'a str) -> Self {
        Self::Name(name)
    }
}

/// The items of a stream, as its sender describes them or as a receiver learns of them. No two have
/// the same id, or the same name.
///
/// ```
/// use speadway::item::{HeapGenerator, ItemDescriptor, ItemGroup, Order, Select};
/// use speadway::wire::{EncodeItem, Flavour, HeapEncoder};
///
/// let mut group = ItemGroup::new();
/// group.add(ItemDescriptor::format(0x1600, "timestamp", "", &[], &[('u', 48)])?);
/// let samples = ItemDescriptor::numpy(0x3300, "samples", "", &[4], "<f4", Order::C)?;
/// group.add(samples).set_slice(&[1_f32, 2.0, 3.0, 4.0])?;
/// group.get_mut("timestamp").unwrap().set_scalar(1234_u64)?;
///
/// // The first heap describes the items, and carries their values.
/// let mut generator = HeapGenerator::new(Flavour::SPEAD_64_48);
/// let heap = generator.heap(&group, Select::Stale, Select::Stale)?;
/// assert_eq!(heap.len(), 4);
/// let items: Vec<EncodeItem> = heap.iter().map(|item| item.to_encode_item()).collect();
/// let packets = HeapEncoder::new(Flavour::SPEAD_64_48, 1, 1472, &items, false)?.packets();
/// # assert_eq!(packets.len(), 1);
///
/// // The next one only what changed.
/// group.get_mut(0x1600).unwrap().set_scalar(1235_u64)?;
/// assert_eq!(generator.heap(&group, Select::Stale, Select::Stale)?.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ItemGroup {
    /// By a number that grows: in the order in which they were added.
    items: BTreeMap<u64, Item>,
    next: u64,
    ids: HashMap<u64, u64>,
    names: HashMap<String, u64>,
    pub(super) max_items: usize,
    pub(super) log: UpdateLog,
}

/// What became of an item that was added.
pub(super) enum Added {
    New,
    /// It was there already.
    Same,
    /// It took the place of others with its id or name.
    Replaced,
}

impl ItemGroup {
    /// A group without items.
    #[must_use]
    pub fn new() -> Self {
        Self {
            items: BTreeMap::new(),
            next: 0,
            ids: HashMap::new(),
            names: HashMap::new(),
            max_items: MAX_ITEMS,
            log: UpdateLog::default(),
        }
    }

    /// Limits how many items [`update`](Self::update) makes the group have: 65536 by default.
    #[must_use]
    pub fn max_items(mut self, max_items: usize) -> Self {
        self.max_items = max_items;
        self
    }

    /// Adds an item, and returns it as it is in the group.
    ///
    /// If the group has an item with an equal descriptor, that one stays, and takes the new one's
    /// value if it has one. Otherwise the new item replaces those that have its id or its name, and
    /// its version is above theirs. An item without an id gets the lowest one that is free, from
    /// [`FIRST_USER`](ids::FIRST_USER) on.
    pub fn add(&mut self, item: impl Into<Item>) -> &mut Item {
        let mut item = item.into();
        if item.id() == ItemDescriptor::AUTOMATIC_ID {
            let free = (ids::FIRST_USER..).find(|id| !self.ids.contains_key(id));
            Arc::make_mut(&mut item.descriptor).set_id(free.unwrap_or(ids::FIRST_USER));
        }
        let (place, added) = self.place(item);
        if matches!(added, Added::Replaced) {
            let (id, name) = (place.id(), place.name());
            log::info!("item {id:#x} {name:?} replaces others of its id or name");
        }
        place
    }

    /// Adds an item that has an id.
    pub(super) fn place(&mut self, mut item: Item) -> (&mut Item, Added) {
        let same_id = self.ids.get(&item.id()).copied();
        let same_name = self.names.get(item.name()).copied();
        if let Some(at) = same_id
            && same_id == same_name
            && self.items.get(&at).is_some_and(|old| old.descriptor == item.descriptor)
        {
            let fallback = item.clone();
            let place = self.items.entry(at).or_insert(fallback);
            if let Some(value) = item.value {
                place.put(value);
            }
            return (place, Added::Same);
        }
        let mut added = Added::New;
        for at in [same_id, same_name].into_iter().flatten() {
            let Some(old) = self.items.remove(&at) else { continue };
            self.ids.remove(&old.id());
            self.names.remove(old.name());
            item.version = item.version.max(old.version + 1);
            added = Added::Replaced;
        }
        let at = self.next;
        self.next += 1;
        self.ids.insert(item.id(), at);
        self.names.insert(item.name().to_owned(), at);
        (self.items.entry(at).or_insert(item), added)
    }

    /// The item with this id or name.
    #[must_use]
    pub fn get<'a>(&self, key: impl Into<ItemKey<'a>>) -> Option<&Item> {
        self.items.get(&self.find(key.into())?)
    }

    /// The item with this id or name, to set its value.
    #[must_use]
    pub fn get_mut<'a>(&mut self, key: impl Into<ItemKey<'a>>) -> Option<&mut Item> {
        let at = self.find(key.into())?;
        self.items.get_mut(&at)
    }

    /// Whether there is an item with this id or name.
    #[must_use]
    pub fn contains<'a>(&self, key: impl Into<ItemKey<'a>>) -> bool {
        self.find(key.into()).is_some()
    }

    fn find(&self, key: ItemKey<'_>) -> Option<u64> {
        match key {
            ItemKey::Id(id) => self.ids.get(&id),
            ItemKey::Name(name) => self.names.get(name),
        }
        .copied()
    }

    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The items, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Item> {
        self.items.values()
    }

    /// The items, in the order in which they were added, to set their values.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Item> {
        self.items.values_mut()
    }
}

impl Default for ItemGroup {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(id: u64, name: &str, bits: u32) -> ItemDescriptor {
        ItemDescriptor::format(id, name, "", &[], &[('u', bits)]).unwrap()
    }

    fn names(group: &ItemGroup) -> Vec<&str> {
        group.iter().map(Item::name).collect()
    }

    #[test]
    fn ids_are_given_from_the_lowest_free_one() {
        let mut group = ItemGroup::new();
        let mut add = |id, name| group.add(descriptor(id, name, 8)).id();
        assert_eq!(add(0, "a"), 0x1000);
        assert_eq!(add(0x1001, "b"), 0x1001);
        assert_eq!(add(0, "c"), 0x1002);
        assert_eq!(add(0x2000, "a"), 0x2000);
        assert_eq!(add(0, "d"), 0x1000);
        assert_eq!(names(&group), ["b", "c", "a", "d"]);
    }

    #[test]
    fn equal_descriptors_change_nothing_but_the_value() {
        let mut group = ItemGroup::new();
        group.add(descriptor(0x1000, "a", 8)).set_scalar(1_u8).unwrap();
        let same = group.add(descriptor(0x1000, "a", 8));
        assert_eq!(same.value().unwrap().to_scalar(), Ok(1_u8));
        assert_eq!(same.version(), 2);
        let mut new = Item::new(descriptor(0x1000, "a", 8));
        new.set_scalar(2_u8).unwrap();
        let same = group.add(new);
        assert_eq!(same.value().unwrap().to_scalar(), Ok(2_u8));
        assert_eq!(same.version(), 3);
    }

    #[test]
    fn others_of_the_id_or_name_are_replaced() {
        let mut group = ItemGroup::new();
        for (at, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
            group.add(descriptor(0x1000 + at as u64, name, 8));
        }
        (0..9).for_each(|_| group.get_mut("b").unwrap().bump_version());
        // The version is above that of either.
        assert_eq!(group.add(descriptor(0x1002, "b", 16)).version(), 11);
        assert_eq!(names(&group), ["a", "d", "b"]);
        assert_eq!(group.get(0x1002_u64).map(Item::name), Some("b"));
        assert!(!group.contains("c") && !group.contains(0x1001));
        assert_eq!(group.len(), 3);
    }

    #[test]
    fn values_of_other_types_are_refused() {
        let mut item = Item::new(descriptor(0x1000, "a", 8));
        let other = descriptor(0x1000, "a", 16).scalar_value(1_u8).unwrap();
        assert!(matches!(item.set(other), Err(ValueError::OtherType { .. })));
        let array = ItemDescriptor::format(7, "", "", &[None], &[('u', 8)]).unwrap();
        let array = array.value(&[1_u8]).unwrap();
        assert!(matches!(item.set(array), Err(ValueError::Shape { .. })));
        assert!(item.value().is_none() && item.version() == 1);
        assert!(item.set(descriptor(9, "z", 8).scalar_value(1_u8).unwrap()).is_ok());
    }
}
