//! `speadway.send`.

mod admission;
mod asynchronous;
mod blocking;
mod bytes;
mod config;
mod descriptor;
mod destination;
mod enums;
mod errors;
mod heap;
mod inproc;
mod overload;
mod packets;
mod reference;
mod stream;
mod tcp;
mod udp;

use pyo3::prelude::*;

/// Sending.
#[pymodule(gil_used = false)]
pub(crate) mod send {
    #[pymodule_export]
    use super::asynchronous::AsyncStream;
    #[pymodule_export]
    use super::blocking::SyncStream;
    #[pymodule_export]
    use super::bytes::BytesStream;
    #[pymodule_export]
    use super::config::StreamConfig;
    #[pymodule_export]
    use super::heap::Heap;
    #[pymodule_export]
    use super::inproc::{InprocStream, InprocStreamAsyncio};
    #[pymodule_export]
    use super::packets::PacketGenerator;
    #[pymodule_export]
    use super::reference::{HeapReference, HeapReferenceList};
    #[pymodule_export]
    use super::stream::Stream;
    #[pymodule_export]
    use super::tcp::{TcpStream, TcpStreamAsyncio};
    #[pymodule_export]
    use super::udp::{UdpStream, UdpStreamAsyncio};
    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        enums::add_to(module)
    }
}
