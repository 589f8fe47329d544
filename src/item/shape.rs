//! Shapes, and the two orders of elements.

/// How many elements a shape has; `u64::MAX` if that does not fit.
pub(super) fn count(shape: impl Iterator<Item = u64> + Clone) -> u64 {
    // Zero wins, however large the other dimensions are.
    if shape.clone().any(|size| size == 0) {
        return 0;
    }
    shape.fold(1, u64::saturating_mul)
}

/// The number of elements of a shape that was resolved.
pub(super) fn len(shape: &[usize]) -> usize {
    usize::try_from(count(shape.iter().map(|&size| size as u64))).unwrap_or(usize::MAX)
}

/// Puts elements that are in Fortran order (first dimension contiguous) in C order (last one
/// contiguous). Takes exactly as many elements as the shape has.
pub(super) fn fortran_to_c<T: Clone>(data: Vec<T>, shape: &[usize]) -> Vec<T> {
    let mut dimensions = Vec::new();
    let mut stride = 1_usize;
    // Sizes of 1 do not matter, and without them there are few dimensions.
    for &size in shape.iter().filter(|&&size| size != 1) {
        dimensions.push((size, stride));
        stride = stride.saturating_mul(size);
    }
    gather(data, &dimensions)
}

/// The opposite of [`fortran_to_c`].
pub(super) fn c_to_fortran<T: Clone>(data: Vec<T>, shape: &[usize]) -> Vec<T> {
    let reversed: Vec<usize> = shape.iter().rev().copied().collect();
    fortran_to_c(data, &reversed)
}

/// The elements in C order of dimensions with (size, stride).
fn gather<T: Clone>(data: Vec<T>, dimensions: &[(usize, usize)]) -> Vec<T> {
    if dimensions.len() < 2 || data.is_empty() {
        return data;
    }
    let mut index = vec![0; dimensions.len()];
    let mut offset = 0;
    let mut result = Vec::with_capacity(data.len());
    while result.len() < data.len() {
        // Never out of bounds, as the shape has as many elements as the data.
        let Some(element) = data.get(offset) else { break };
        result.push(element.clone());
        for (at, &(size, stride)) in index.iter_mut().zip(dimensions).rev() {
            *at += 1;
            offset += stride;
            if *at < size {
                break;
            }
            offset -= stride * size;
            *at = 0;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_each_others_opposite() {
        // [[0, 1, 2], [3, 4, 5]] in Fortran order, with a dimension that does not matter.
        let shape = [2, 1, 3];
        let fortran = vec![0, 3, 1, 4, 2, 5];
        assert_eq!(fortran_to_c(fortran.clone(), &shape), [0, 1, 2, 3, 4, 5]);
        assert_eq!(c_to_fortran(vec![0, 1, 2, 3, 4, 5], &shape), fortran);
        let data: Vec<_> = (0..120).collect();
        let there = c_to_fortran(data.clone(), &[2, 3, 4, 5]);
        assert_eq!(there[..4], [0, 60, 20, 80]);
        assert_eq!(fortran_to_c(there, &[2, 3, 4, 5]), data);
        assert_eq!(fortran_to_c(Vec::<u8>::new(), &[0, usize::MAX, 7]), []);
    }

    #[test]
    fn counts_do_not_overflow() {
        assert_eq!(count([u64::MAX, 3].into_iter()), u64::MAX);
        assert_eq!(count([u64::MAX, 3, 0].into_iter()), 0);
        assert_eq!(len(&[]), 1);
    }
}
