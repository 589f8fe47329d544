//! Whose turn it is to run a stream's task: its worker's, or that of a thread with heaps to send.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::request::Request;
use super::seat::{Guest, Seat};
use super::task::SendTask;
use crate::recv::{Polled, Task, TaskCx, as_worker, panic_message};

/// Where the task is, until it has ended.
pub(super) type TaskSeat = Seat<Option<SendTask>>;

/// The task as its worker runs it.
pub(super) struct OnWorker {
    seat: Arc<TaskSeat>,
    /// There is room in the transport, which the task has not been told.
    writable: bool,
    /// The task, when it has ended. What it holds is dropped with no lock held.
    ended: Option<SendTask>,
}

impl OnWorker {
    pub(super) fn new(seat: Arc<TaskSeat>) -> Self {
        Self { seat, writable: false, ended: None }
    }
}

impl Task for OnWorker {
    fn poll(&mut self, cx: &TaskCx<'_>) -> Polled {
        // Whoever has it calls when done.
        let Some(mut seat) = self.seat.own() else { return Polled::Wait(None) };
        let Some(task) = &mut *seat else { return Polled::Done };
        if std::mem::take(&mut self.writable) {
            task.note_writable();
        }
        let polled = task.poll(cx);
        if polled == Polled::Done {
            // At once, so that nobody sends what comes after the end.
            self.ended = seat.take();
        }
        polled
    }

    fn readable(&mut self, _source: usize) -> bool {
        self.writable = true;
        true
    }

    fn panicked(&mut self, message: &str) {
        self.ended = self.seat.lock().take();
        if let Some(task) = &mut self.ended {
            task.panicked(message);
        }
    }
}

impl Drop for OnWorker {
    fn drop(&mut self) {
        let left = self.seat.lock().take();
        drop(left);
    }
}

/// A thread's turn, in the worker's place.
pub(super) struct Turn<'a>(Guest<'a, Option<SendTask>>);

impl<'a> Turn<'a> {
    /// A turn, if nobody else has it and nothing is under way.
    pub(super) fn take(seat: &'a TaskSeat) -> Option<Self> {
        let guest = seat.visit()?;
        guest.as_ref().is_some_and(SendTask::is_at_rest).then_some(Self(guest))
    }

    /// Sends `request`, as much of it as can go now within a quantum. The worker does the rest.
    pub(super) fn send(mut self, request: Request) {
        let Some(task) = &mut *self.0 else { return };
        let send = AssertUnwindSafe(|| as_worker(|| task.send_at_once(request)));
        let is_done = catch_unwind(send).unwrap_or_else(|panic| {
            // As on the worker: it ends the stream, and nothing else.
            task.panicked(&panic_message(&*panic));
            false
        });
        if !is_done {
            self.0.leave_unfinished();
        }
    }
}
