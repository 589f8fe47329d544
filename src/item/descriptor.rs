//! Descriptors of items: what a sender declares, and what a receiver was told.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::dtype::{ElementType, ElementTypeError};
use super::shape;
use super::value::Order;
use crate::wire::{
    self, BugCompat, ByteOrder, DescriptorEncodeError, Element, Flavour, NumpyHeaderError, ids,
};

/// What is known about an item: id, name, description, shape and type of its elements.
///
/// Unlike [`wire::Descriptor`] it makes sense: the type is possible and has a size, and at most one
/// dimension varies.
///
/// ```
/// use speadway::item::{ItemDescriptor, Order};
/// use speadway::wire::Flavour;
///
/// let samples =
///     ItemDescriptor::numpy(0x3300, "samples", "Voltages", &[256, 2], "<i1", Order::C)?;
/// assert!(!samples.is_variable_size());
///
/// let timestamp = ItemDescriptor::format(0x1600, "timestamp", "", &[], &[('u', 48)])?;
/// let bytes = timestamp.encode(Flavour::SPEAD_64_48)?;
/// assert_eq!(timestamp.value(&[5_u64])?.bytes(), [0, 0, 0, 0, 0, 5]);
///
/// // One dimension may vary.
/// let text = ItemDescriptor::format(0x1601, "text", "", &[None], &[('c', 8)])?;
/// assert_eq!(text.dynamic_shape(11), [11]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ItemDescriptor {
    id: u64,
    name: String,
    description: String,
    shape: Vec<Option<u64>>,
    order: Order,
    element: Arc<ElementType>,
}

impl ItemDescriptor {
    /// The id of an item that is to be given one when it is added to a group.
    pub const AUTOMATIC_ID: u64 = 0;

    /// An item whose elements have a numpy type such as `"<u4"`; without a byte order, that of this
    /// machine. The shape is in elements.
    ///
    /// # Errors
    /// If the id is reserved, the name or description is not ASCII, or the type is not possible.
    pub fn numpy(
        id: u64,
        name: &str,
        description: &str,
        shape: &[u64],
        dtype: &str,
        order: Order,
    ) -> Result<Self, DescriptorError> {
        let shape = shape.iter().copied().map(Some).collect();
        Self::new(id, name, description, shape, ElementType::numpy(dtype)?, order)
    }

    /// An item whose elements are made of fields: a code (`u` unsigned, `i` signed, `f` floating
    /// point, `c` character, `b` boolean) and a number of bits each. In the shape, in elements,
    /// one dimension may be `None`, to vary from heap to heap.
    ///
    /// # Errors
    /// If the id is reserved, the name or description is not ASCII, more than one dimension varies,
    /// or the format is not possible.
    pub fn format(
        id: u64,
        name: &str,
        description: &str,
        shape: &[Option<u64>],
        format: &[(char, u32)],
    ) -> Result<Self, DescriptorError> {
        let element = ElementType::format(format)?;
        Self::new(id, name, description, shape.to_vec(), element, Order::C)
    }

    /// An item of any type. The shape is in elements.
    ///
    /// # Errors
    /// As [`numpy`](Self::numpy) and [`format`](Self::format), and if a numpy type has a varying
    /// dimension or a format is not in C order, as descriptors cannot tell that.
    pub fn new(
        id: u64,
        name: &str,
        description: &str,
        shape: Vec<Option<u64>>,
        element: ElementType,
        order: Order,
    ) -> Result<Self, DescriptorError> {
        if !name.is_ascii() || !description.is_ascii() {
            return Err(DescriptorError::NotAscii);
        }
        let (name, description) = (name.to_owned(), description.to_owned());
        Self { id, name, description, shape, order, element: Arc::new(element) }.checked()
    }

    /// The descriptor as received. Name and description need not be ASCII; what is not text in them
    /// is replaced. Numpy types that are not simple are accepted, but not understood: such items
    /// have their bytes as value.
    ///
    /// # Errors
    /// If it makes no sense.
    pub fn from_wire(
        descriptor: &wire::Descriptor,
        bug_compat: BugCompat,
    ) -> Result<Self, DescriptorError> {
        let item_type = descriptor.item_type(bug_compat)?;
        let new = Self {
            id: descriptor.id,
            name: descriptor.name_lossy().into_owned(),
            description: descriptor.description_lossy().into_owned(),
            shape: item_type.shape,
            order: if item_type.fortran_order { Order::Fortran } else { Order::C },
            element: Arc::new(ElementType::from_wire(item_type.element)?),
        };
        if new.id == Self::AUTOMATIC_ID { Err(DescriptorError::Id(0)) } else { new.checked() }
    }

    fn checked(self) -> Result<Self, DescriptorError> {
        if self.id != Self::AUTOMATIC_ID && self.id <= ids::STREAM_CTRL {
            return Err(DescriptorError::Id(self.id));
        }
        let varying = self.shape.iter().filter(|size| size.is_none()).count();
        if varying > 1 {
            return Err(DescriptorError::SeveralVarying);
        }
        if varying > 0 && self.element.is_numpy() {
            return Err(DescriptorError::NumpyVarying);
        }
        if self.order != Order::C && !self.element.is_numpy() {
            return Err(DescriptorError::FormatOrder);
        }
        Ok(self)
    }

    /// The same item under another id.
    ///
    /// # Errors
    /// If the id is reserved.
    pub fn with_id(self, id: u64) -> Result<Self, DescriptorError> {
        Self { id, ..self }.checked()
    }

    /// For ids that are not reserved.
    pub(super) fn set_id(&mut self, id: u64) {
        self.id = id;
    }

    /// The item's id, or [`AUTOMATIC_ID`](Self::AUTOMATIC_ID).
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The item's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the item is, for humans.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Size of each dimension in elements; `None` if it varies.
    #[must_use]
    pub fn shape(&self) -> &[Option<u64>] {
        &self.shape
    }

    /// In which order the elements are sent.
    #[must_use]
    pub fn order(&self) -> Order {
        self.order
    }

    /// The type of its elements.
    #[must_use]
    pub fn element(&self) -> &ElementType {
        &self.element
    }

    pub(super) fn shared_element(&self) -> &Arc<ElementType> {
        &self.element
    }

    /// Size of one element in bits; `None` if its type is not understood.
    #[must_use]
    pub fn itemsize_bits(&self) -> Option<u64> {
        self.element.itemsize_bits()
    }

    /// Whether a dimension varies from heap to heap.
    #[must_use]
    pub fn is_variable_size(&self) -> bool {
        self.shape.contains(&None)
    }

    /// Whether values may travel in the item pointer if they are short enough: a receiver must know
    /// their size, and each element must end with a byte.
    #[must_use]
    pub fn allow_immediate(&self) -> bool {
        let whole_bytes = self.itemsize_bits().is_none_or(|bits| bits % 8 == 0);
        !self.is_variable_size() && whole_bytes
    }

    /// The shape of a value for which there is room for `max_elements`: the dimension that varies, if
    /// one does, is as large as possible.
    #[must_use]
    pub fn dynamic_shape(&self, max_elements: u64) -> Vec<usize> {
        let known = shape::count(self.shape.iter().map(|size| size.unwrap_or(1)));
        let varying = max_elements.checked_div(known).unwrap_or(0);
        let size = |size: &Option<u64>| usize::try_from(size.unwrap_or(varying));
        self.shape.iter().map(|dimension| size(dimension).unwrap_or(usize::MAX)).collect()
    }

    /// Whether a value may have this shape.
    #[must_use]
    pub fn compatible_shape(&self, shape: &[usize]) -> bool {
        let fits = |(own, &size): (&Option<u64>, &usize)| own.is_none_or(|own| own == size as u64);
        self.shape.len() == shape.len() && self.shape.iter().zip(shape).all(fits)
    }

    /// The descriptor as it is sent in this flavour, with its deviations.
    ///
    /// # Errors
    /// If a received name or description is not ASCII.
    pub fn to_wire(&self, flavour: Flavour) -> Result<wire::Descriptor, DescriptorError> {
        if !self.name.is_ascii() || !self.description.is_ascii() {
            return Err(DescriptorError::NotAscii);
        }
        let mut descriptor = wire::Descriptor {
            id: self.id,
            name: self.name.clone().into_bytes(),
            description: self.description.clone().into_bytes(),
            // Repeated by a numpy header, which overrides it.
            shape: self.shape.clone(),
            ..wire::Descriptor::default()
        };
        match self.element.to_wire() {
            Element::Fields(fields) => descriptor.format.clone_from(fields),
            numpy => descriptor.numpy_header = self.numpy_header(numpy, flavour).into_bytes(),
        }
        Ok(descriptor)
    }

    /// The value of a descriptor item.
    ///
    /// # Errors
    /// If a name or description is not ASCII, or something is too large for the flavour.
    pub fn encode(&self, flavour: Flavour) -> Result<Vec<u8>, DescriptorError> {
        Ok(self.to_wire(flavour)?.encode(flavour)?)
    }

    /// A dictionary as numpy writes it into `.npy` files.
    fn numpy_header(&self, element: &Element, flavour: Flavour) -> String {
        let dtype: Cow<'_, str> = match element {
            Element::OtherNumpy(text) if text.starts_with(['[', '(']) => text.into(),
            Element::Numpy(numpy) => {
                let mut numpy = *numpy;
                if flavour.bug_compat().contains(BugCompat::SWAP_ENDIAN) {
                    numpy.byte_order = match numpy.byte_order {
                        ByteOrder::Little => ByteOrder::Big,
                        ByteOrder::Big => ByteOrder::Little,
                        other => other,
                    };
                }
                format!("'{numpy}'").into()
            }
            other => format!("'{other}'").into(),
        };
        let order = if self.order == Order::Fortran { "True" } else { "False" };
        let size = |size: &Option<u64>| size.unwrap_or(0).to_string();
        let shape = self.shape.iter().map(size).collect::<Vec<_>>().join(", ");
        let comma = if self.shape.len() == 1 { "," } else { "" };
        format!("{{'descr': {dtype}, 'fortran_order': {order}, 'shape': ({shape}{comma})}}")
    }
}

/// Why a descriptor makes no sense, or cannot be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DescriptorError {
    /// The id is one of the protocol's.
    Id(u64),
    /// The name or the description is not ASCII.
    NotAscii,
    /// More than one dimension varies.
    SeveralVarying,
    /// A dimension of a numpy type varies.
    NumpyVarying,
    /// A format is not in C order.
    FormatOrder,
    /// The type of elements is not possible.
    Element(ElementTypeError),
    /// The numpy header cannot be read.
    NumpyHeader(NumpyHeaderError),
    /// It does not fit the flavour.
    Encode(DescriptorEncodeError),
}

impl fmt::Display for DescriptorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(
                f,
                "item id {id:#x} is reserved: use one above {:#x}, better from {:#x}",
                ids::STREAM_CTRL,
                ids::FIRST_USER
            ),
            Self::NotAscii => f.write_str("name and description must be ASCII"),
            Self::SeveralVarying => {
                f.write_str("several dimensions vary: fix the size of all but one")
            }
            Self::NumpyVarying => f.write_str(
                "dimensions of a numpy type cannot vary: fix their size, or use a format",
            ),
            Self::FormatOrder => f.write_str("a format has C order: use that, or a numpy type"),
            Self::Element(error) => error.fmt(f),
            Self::NumpyHeader(error) => error.fmt(f),
            Self::Encode(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DescriptorError {}

impl From<ElementTypeError> for DescriptorError {
    fn from(error: ElementTypeError) -> Self {
        Self::Element(error)
    }
}

impl From<NumpyHeaderError> for DescriptorError {
    fn from(error: NumpyHeaderError) -> Self {
        Self::NumpyHeader(error)
    }
}

impl From<DescriptorEncodeError> for DescriptorError {
    fn from(error: DescriptorEncodeError) -> Self {
        Self::Encode(error)
    }
}
