//! Properties of items that hold for any type, value and input.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use speadway::item::{
    Array, DescriptorError, ElementType, ElementTypeError, FieldKind, ItemDescriptor, Order,
    Sample, Scalar, Value, ValueError,
};
use speadway::wire::{BugCompat, Descriptor, Flavour, FormatField};

fn numpy(dtype: &str, shape: &[u64], order: Order) -> ItemDescriptor {
    ItemDescriptor::numpy(0x1000, "name", "", shape, dtype, order).unwrap()
}

fn format(shape: &[Option<u64>], format: &[(char, u32)]) -> ItemDescriptor {
    ItemDescriptor::format(0x1000, "name", "", shape, format).unwrap()
}

/// Sent and received, typed as before and as scalars.
fn check_round_trip<T: Sample>(dtype: &str, shape: &[usize], data: &[T]) {
    let dimensions: Vec<u64> = shape.iter().map(|&size| size as u64).collect();
    for (order, byte_order) in
        [(Order::C, "<"), (Order::C, ">"), (Order::Fortran, "<"), (Order::Fortran, ">")]
    {
        let descriptor = numpy(&format!("{byte_order}{dtype}"), &dimensions, order);
        let value = descriptor.value(data).unwrap();
        assert_eq!(value.bytes().len(), data.len() * dtype[1..].parse::<usize>().unwrap());
        let received = descriptor.decode(value.bytes().to_vec()).unwrap();
        assert_eq!(received, value);
        assert_eq!(received.to_vec::<T>().unwrap(), data);
        let array = received.to_array::<T>().unwrap();
        assert_eq!(descriptor.array_value(&array).unwrap(), value);
        let scalars = value.to_scalars().unwrap();
        assert_eq!(descriptor.scalars_value(shape, &scalars).unwrap(), value);
    }
}

fn shape() -> impl Strategy<Value = Vec<usize>> {
    vec(0_usize..4, 0..4)
}

fn data<T: Sample>(
    any: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = (Vec<usize>, Vec<T>)> {
    let any = any.boxed();
    shape().prop_flat_map(move |shape| {
        let count = shape.iter().product::<usize>();
        (Just(shape), vec(any.clone(), count))
    })
}

macro_rules! round_trips {
    ($($name:ident $dtype:literal $any:expr,)*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(64))]
            $(
                #[test]
                fn $name((shape, data) in data($any)) {
                    check_round_trip($dtype, &shape, &data);
                }
            )*
        }
    };
}

fn f32s() -> impl Strategy<Value = f32> {
    prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO
}

fn f64s() -> impl Strategy<Value = f64> {
    prop::num::f64::NORMAL | prop::num::f64::INFINITE
}

round_trips! {
    i8_comes_back "i1" any::<i8>(),
    i16_comes_back "i2" any::<i16>(),
    i32_comes_back "i4" any::<i32>(),
    i64_comes_back "i8" any::<i64>(),
    u8_comes_back "u1" any::<u8>(),
    u16_comes_back "u2" any::<u16>(),
    u32_comes_back "u4" any::<u32>(),
    u64_comes_back "u8" any::<u64>(),
    bool_comes_back "b1" any::<bool>(),
    f16_comes_back "f2" (-2048_i16..2048).prop_map(|half| f32::from(half) / 32.0),
    f32_comes_back "f4" f32s(),
    f64_comes_back "f8" f64s(),
    c64_comes_back "c8" (f32s(), f32s()),
    c128_comes_back "c16" (f64s(), f64s()),
}

/// A field, and a number that it can hold.
fn field() -> impl Strategy<Value = ((char, u32), Scalar)> {
    let unsigned = (1_u32..=128, any::<u128>())
        .prop_map(|(bits, number)| (('u', bits), Scalar::Unsigned(number >> (128 - bits))));
    let signed = (1_u32..=128, any::<i128>())
        .prop_map(|(bits, number)| (('i', bits), Scalar::Signed(number >> (128 - bits))));
    let boolean =
        (1_u32..=128, any::<bool>()).prop_map(|(bits, value)| (('b', bits), Scalar::Bool(value)));
    prop_oneof![
        unsigned,
        signed,
        boolean,
        any::<u8>().prop_map(|byte| (('c', 8), Scalar::Char(byte))),
        f32s().prop_map(|number| (('f', 32), Scalar::Float(number.into()))),
        f64s().prop_map(|number| (('f', 64), Scalar::Float(number))),
    ]
}

/// Bits of a scalar as text of 0 and 1, to compare with another way of packing.
fn bits(scalar: &Scalar, bits: u32) -> String {
    let raw = match *scalar {
        Scalar::Unsigned(number) => number,
        Scalar::Signed(number) => number as u128,
        Scalar::Bool(value) => value.into(),
        Scalar::Char(byte) => byte.into(),
        Scalar::Float(number) if bits == 32 => (number as f32).to_bits().into(),
        Scalar::Float(number) => number.to_bits().into(),
        _ => panic!("{scalar:?}"),
    };
    format!("{raw:0128b}")[128 - bits as usize..].to_owned()
}

/// Any descriptor that could come from the network.
fn hostile() -> impl Strategy<Value = Descriptor> {
    let code = prop_oneof![4 => select(b"uifcb".to_vec()), 1 => any::<u8>()];
    let bits = prop_oneof![8 => 0_u32..130, 1 => any::<u32>(), 4 => select(vec![8, 16, 32, 64])];
    let fields = vec((code, bits).prop_map(|(code, bits)| FormatField { code, bits }), 0..4);
    let size = || prop_oneof![8 => 0_u64..4, 1 => any::<u64>()];
    let shape = vec(prop_oneof![3 => size().prop_map(Some), 1 => Just(None)], 0..4);
    let dtype = (select(vec!["<", ">", "|", "=", ""]), "[biufcSUVOM?]", 0_u32..20)
        .prop_map(|(order, kind, size)| format!("'{order}{kind}{size}'"));
    let dtype = prop_oneof![8 => dtype, 1 => Just("[('a', '<u4')]".to_owned()), 1 => ".{0,12}"];
    let header = (dtype, any::<bool>(), vec(size(), 0..4)).prop_map(|(dtype, order, shape)| {
        let order = if order { "True" } else { "False" };
        let shape: String = shape.iter().map(|size| format!("{size},")).collect();
        format!("{{'descr': {dtype}, 'fortran_order': {order}, 'shape': ({shape})}}").into_bytes()
    });
    let header = prop_oneof![Just(vec![]), header, vec(any::<u8>(), 0..40)];
    let id = prop_oneof![Just(0x1000), any::<u64>(), 0_u64..8];
    let text = || prop_oneof![Just(b"name".to_vec()), vec(any::<u8>(), 0..5)];
    (id, text(), text(), shape, fields, header).prop_map(
        |(id, name, description, shape, format, numpy_header)| Descriptor {
            id,
            name,
            description,
            shape,
            format,
            numpy_header,
        },
    )
}

/// Reads the value in every way there is; what comes back is never larger than what came.
fn read_all(value: &Value, bytes: usize) {
    fn read<T: Sample>(value: &Value, bytes: usize) {
        if let Ok(elements) = value.to_vec::<T>() {
            assert!(elements.len() == value.len() && elements.len() <= 8 * bytes);
            assert_eq!(value.to_array::<T>().unwrap().shape(), value.shape());
        }
        let _ = value.to_scalar::<T>();
        let _ = value.field::<T>(1);
    }
    assert!(value.bytes().len() <= bytes);
    read::<u8>(value, bytes);
    read::<u64>(value, bytes);
    read::<i128>(value, bytes);
    read::<f32>(value, bytes);
    read::<f64>(value, bytes);
    read::<bool>(value, bytes);
    read::<(f64, f64)>(value, bytes);
    let _ = (value.to_text(), format!("{value:?}"));
    if let Ok(scalars) = value.to_scalars() {
        assert!(scalars.len() <= 8 * bytes);
        let fields = value.element().fields().len();
        assert_eq!(scalars.len(), value.len() * fields);
    }
}

proptest! {
    #[test]
    fn formats_are_packed_without_gaps(
        fields in vec(field(), 1..6),
        count in 0_usize..5,
    ) {
        let kinds: Vec<(char, u32)> = fields.iter().map(|(kind, _)| *kind).collect();
        let element: Vec<Scalar> = fields.into_iter().map(|(_, scalar)| scalar).collect();
        let scalars = vec![element.clone(); count].concat();
        let descriptor = format(&[Some(count as u64)], &kinds);
        let value = descriptor.scalars_value(&[count], &scalars).unwrap();
        prop_assert_eq!(value.to_scalars().unwrap(), scalars);

        let packed: String =
            element.iter().zip(&kinds).map(|(scalar, &(_, size))| bits(scalar, size)).collect();
        let mut packed = packed.repeat(count);
        packed.push_str(&"0".repeat(packed.len().next_multiple_of(8) - packed.len()));
        let expected: Vec<u8> = (0..packed.len() / 8)
            .map(|at| u8::from_str_radix(&packed[8 * at..8 * at + 8], 2).unwrap())
            .collect();
        prop_assert_eq!(value.bytes(), expected);
    }

    #[test]
    fn columns_are_the_fields(numbers in vec((0_u16..4096, -8_i8..8, any::<bool>()), 0..9)) {
        let descriptor = format(&[None], &[('u', 12), ('i', 4), ('b', 1)]);
        let scalars: Vec<Scalar> = numbers
            .iter()
            .flat_map(|&(u, i, b)| {
                [Scalar::Unsigned(u.into()), Scalar::Signed(i.into()), Scalar::Bool(b)]
            })
            .collect();
        let value = descriptor.scalars_value(&[numbers.len()], &scalars).unwrap();
        let unsigned: Vec<u16> = numbers.iter().map(|number| number.0).collect();
        prop_assert_eq!(value.field::<u16>(0).unwrap(), unsigned);
        let signed: Vec<i8> = numbers.iter().map(|number| number.1).collect();
        prop_assert_eq!(value.field::<i8>(1).unwrap(), signed);
        let booleans: Vec<bool> = numbers.iter().map(|number| number.2).collect();
        prop_assert_eq!(value.field::<bool>(2).unwrap(), booleans);
        let missing = ValueError::NoField { index: 3, fields: 3 };
        prop_assert_eq!(value.field::<u64>(3), Err(missing));
        prop_assert_eq!(value.to_vec::<u64>(), Err(ValueError::Fields(3)));
    }

    #[test]
    fn any_bits_can_be_sent_and_asked_for(bits in 1_u32..=64, numbers in vec(any::<u64>(), 0..20)) {
        let numbers: Vec<u64> = numbers.iter().map(|number| number >> (64 - bits)).collect();
        let descriptor = format(&[Some(numbers.len() as u64)], &[('u', bits)]);
        let value = descriptor.value(&numbers).unwrap();
        prop_assert_eq!(value.to_vec::<u64>().unwrap(), &numbers[..]);
        prop_assert_eq!(value.to_vec::<u32>().is_ok(), bits <= 32);
        prop_assert_eq!(value.to_vec::<i16>().is_ok(), bits < 16);
        prop_assert_eq!(value.to_vec::<f64>().is_ok(), bits <= 53);
        let too_large = u128::from(u64::MAX >> (64 - bits)) + 1;
        let scalar = format(&[], &[('u', bits)]);
        let out_of_range = matches!(scalar.scalar_value(too_large), Err(ValueError::OutOfRange { .. }));
        prop_assert!(out_of_range);
    }

    #[test]
    fn immediates_are_the_last_bytes(
        address_bytes in 1_u8..8,
        value in any::<u64>(),
        size in 1_u32..=64,
        count in 0_usize..9,
    ) {
        let flavour = Flavour::new(8 * address_bytes).unwrap();
        let room = 8 * u32::from(address_bytes);
        let value = value & flavour.max_value();
        let descriptor = format(&[Some(count as u64)], &[('u', size)]);
        let total = size * count as u32;
        match descriptor.decode_immediate(value, flavour) {
            Ok(decoded) => {
                let bytes = &value.to_be_bytes()[8 - total.div_ceil(8) as usize..];
                prop_assert_eq!(decoded.bytes(), bytes);
                prop_assert_eq!(decoded.to_vec::<u64>().unwrap().len(), count);
            }
            Err(_) => prop_assert!(total > room),
        }
    }

    #[test]
    fn hostile_descriptors_are_safe(
        descriptor in hostile(),
        bug_compat in 0_u32..8,
        bytes in vec(any::<u8>(), 0..40),
        address_bytes in 1_u8..8,
    ) {
        let bug_compat = BugCompat::from_bits(bug_compat).unwrap();
        let Ok(known) = ItemDescriptor::from_wire(&descriptor, bug_compat) else {
            return Ok(());
        };
        let flavour = Flavour::new(8 * address_bytes).unwrap().with_bug_compat(bug_compat);
        if let Ok(value) = known.decode(bytes.clone()) {
            read_all(&value, bytes.len());
        }
        if let Ok(value) = known.bytes_value(bytes.clone()) {
            prop_assert_eq!(value.bytes(), &bytes[..]);
            read_all(&value, bytes.len());
        }
        let number = bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
        if let Ok(value) = known.decode_immediate(number & flavour.max_value(), flavour) {
            read_all(&value, 7);
        }
        let _ = known.value(&bytes);
        // What can be sent is understood as it was.
        let ascii = known.name().is_ascii() && known.description().is_ascii();
        match known.encode(flavour) {
            Ok(encoded) => {
                let again = Descriptor::decode(&encoded, bug_compat).unwrap();
                // Structured types are told on as they are, as their byte order is not understood.
                prop_assert_eq!(ItemDescriptor::from_wire(&again, bug_compat).unwrap(), known);
            }
            Err(DescriptorError::NotAscii) => prop_assert!(!ascii),
            Err(error) => prop_assert!(matches!(error, DescriptorError::Encode(_)), "{}", error),
        }
    }
}

#[test]
fn senseless_descriptors_are_refused() {
    let several = ItemDescriptor::format(0x1000, "", "", &[None, None], &[('u', 8)]);
    assert_eq!(several, Err(DescriptorError::SeveralVarying));
    let dtype = |dtype| ItemDescriptor::numpy(0x1000, "", "", &[], dtype, Order::C).unwrap_err();
    assert_eq!(dtype("O"), DescriptorError::Element(ElementTypeError::Dtype("O".into())));
    assert_eq!(dtype("S0"), DescriptorError::Element(ElementTypeError::ZeroSize));
    let new = |shape, element, order| ItemDescriptor::new(0x1000, "", "", shape, element, order);
    let u4 = ElementType::numpy("u4").unwrap();
    assert_eq!(new(vec![None], u4, Order::C), Err(DescriptorError::NumpyVarying));
    let packed = ElementType::format(&[('u', 4)]).unwrap();
    assert_eq!(new(vec![], packed, Order::Fortran), Err(DescriptorError::FormatOrder));
    let id = |id| ItemDescriptor::format(id, "", "", &[], &[('u', 8)]);
    assert_eq!(id(6), Err(DescriptorError::Id(6)));
    assert!(id(7).is_ok() && id(ItemDescriptor::AUTOMATIC_ID).is_ok());
    let name = ItemDescriptor::format(7, "é", "", &[], &[('u', 8)]);
    assert_eq!(name, Err(DescriptorError::NotAscii));
}

#[test]
fn shapes_are_resolved_from_what_there_is() {
    let dynamic = |shape: &[Option<u64>]| {
        let descriptor = format(shape, &[('u', 12)]);
        [0, 1, 2, 3, 7, 8].map(|elements| descriptor.dynamic_shape(elements))
    };
    assert_eq!(dynamic(&[Some(3)]), [[3]; 6]);
    assert_eq!(dynamic(&[None]), [[0], [1], [2], [3], [7], [8]]);
    assert_eq!(dynamic(&[None, Some(2)]), [[0, 2], [0, 2], [1, 2], [1, 2], [3, 2], [4, 2]]);
    assert_eq!(dynamic(&[Some(0), None]), [[0, 0]; 6]);
    let descriptor = format(&[None, Some(2)], &[('u', 12)]);
    assert!(descriptor.compatible_shape(&[7, 2]));
    assert!(!descriptor.compatible_shape(&[2, 7]) && !descriptor.compatible_shape(&[2]));
}

#[test]
fn values_that_do_not_fit_say_so() {
    let pair = numpy("<u2", &[2], Order::C);
    assert_eq!(
        pair.decode(vec![1, 2, 3]).unwrap_err(),
        ValueError::TooShort { elements: 1, needed: 2 }
    );
    assert!(matches!(pair.bytes_value(vec![0; 5]), Err(ValueError::Length { bytes: 5, .. })));
    assert!(matches!(pair.value(&[1_u16]), Err(ValueError::Count { elements: 1, .. })));
    assert!(matches!(pair.scalar_value(1_u16), Err(ValueError::Shape { .. })));
    assert!(matches!(pair.value(&[1, -1]), Err(ValueError::OutOfRange { .. })));
    assert!(matches!(pair.value(&[1.0, 2.0]), Err(ValueError::Type { .. })));
    let text = numpy("S3", &[], Order::C);
    assert_eq!(text.text_value("abc").unwrap().to_text().unwrap(), "abc");
    let long = ValueError::TextTooLong { length: 4, max: 3 };
    assert_eq!(text.text_value("abcd"), Err(long));
    assert_eq!(text.text_value("é"), Err(ValueError::NotText));
    assert_eq!(pair.text_value("a"), Err(ValueError::NotText));
    let wide = format(&[], &[('u', 136)]);
    let value = wide.decode(vec![0; 17]).unwrap();
    assert!(matches!(value.to_scalars(), Err(ValueError::TooWide(_))));
    assert!(matches!(value.to_scalar::<u128>(), Err(ValueError::TooWide(_))));
    let error = Array::new(vec![2, 2], vec![1, 2, 3]).unwrap_err();
    assert_eq!(error.to_string(), "3 elements do not fill shape [2, 2]: give exactly its size");
    let float = numpy("<f4", &[], Order::C);
    assert!(float.scalar_value(1 << 24).is_ok());
    let inexact = float.scalar_value((1 << 24) + 1);
    assert!(matches!(inexact, Err(ValueError::OutOfRange { .. })));
}

#[test]
fn characters_are_text_without_zeros() {
    let text = format(&[None], &[('c', 8)]);
    assert_eq!(text.decode(b"a\0b").unwrap().to_text().unwrap(), "ab");
    assert_eq!(text.decode(b"a\xff").unwrap().to_text(), Err(ValueError::NotText));
    assert_eq!(text.element().fields()[0].kind(), FieldKind::Char);
    let grid = format(&[Some(2), Some(1)], &[('c', 8)]);
    assert_eq!(grid.decode(b"ab").unwrap().to_text(), Err(ValueError::NotText));
}

#[test]
fn scalars_are_as_small_as_documented() {
    assert!(size_of::<Scalar>() <= 32);
}
