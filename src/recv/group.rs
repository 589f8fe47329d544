//! Groups: several streams that fill one sequence of chunks.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::config::{ConfigError, StreamConfig, WindowSize};
use super::control::{End, Shared};
use super::reader::Reader;
use super::stats::Counters;
use super::stream::{ChunkStreamOptions, Parts, Stream, chunk_options};
use super::task::StreamTask;
use super::worker::{Worker, on_worker};
use crate::chunk::{
    Allocate, Chunk, ChunkPool, Division, Eviction, Group as Core, GroupParts, GroupStats,
    JoinError, Laggard, Layout, MemberSupply, Place, Ready, RingPolicy, Units, ring_exchange,
};
use crate::ring::Ring;

/// A running group: streams that fill one shared sequence of chunks.
///
/// A chunk is handed over when every member has moved past it. Members may run on workers of their
/// own or share one. Dropping the handle stops the group.
///
/// ```
/// use speadway::chunk::{ChunkPool, Eviction, Layout, RingPolicy};
/// use speadway::net::UdpConfig;
/// use speadway::recv::readers::UdpReader;
/// use speadway::recv::{Group, Member, Worker};
/// use speadway::ring::Ring;
///
/// // 16 heaps of 8 KiB a chunk, from each of two ports.
/// let layout = Layout::builder(0x1600, 8192).heaps_per_chunk(16).member_axis(2).build()?;
/// let pool = ChunkPool::zeroed(8, layout.chunk_size(), layout.heaps())?;
/// let ring = Ring::new(4)?;
/// let mut builder =
///     Group::builder().window(4).eviction(Eviction::Eager).ring(&pool, &ring, RingPolicy::default());
/// for _ in 0..2 {
///     let reader = UdpReader::bind(&UdpConfig::new("127.0.0.1:0".parse()?))?;
///     let member = Member::new(layout.clone()).window(2).reader(reader);
///     builder = builder.member(&Worker::new()?, member);
/// }
/// let group = builder.start()?;
/// group.stop();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Group {
    core: Arc<Core>,
    members: Vec<Stream>,
    max_age: Option<Duration>,
}

/// Describes a member of a group.
#[must_use]
pub struct Member {
    options: ChunkStreamOptions,
    /// How the member's layout divides chunks: it claims places before it writes to them.
    division: Option<Division>,
}

impl Member {
    /// A member that places heaps as `layout` says.
    ///
    /// Members may be sent the same heaps, or heaps of the same places: the first member to begin
    /// one has the place, and others' heaps for it are counted as `place_taken`. For that the layouts
    /// of all members must divide a chunk in the same way, and packet presence be the same.
    pub fn new(layout: Layout) -> Self {
        let division = Some(layout.division());
        Self { options: ChunkStreamOptions::new(Box::new(layout)), division }
    }

    /// A member that places heaps freely.
    ///
    /// # Safety
    /// No two members may be sent heaps whose placements share a byte of a chunk's `data` or
    /// `extra`: they would write it at the same time. (Bounds are checked all the same.)
    #[allow(unsafe_code)] // Declares what the caller promises; does nothing unsafe itself.
    pub unsafe fn with_placement(place: impl Place + 'static) -> Self {
        Self { options: ChunkStreamOptions::new(Box::new(place)), division: None }
    }

    chunk_options!();
}

/// Builds a group; from [`Group::builder`].
#[must_use]
pub struct GroupBuilder {
    window: WindowSize,
    eviction: Eviction,
    open_ended: bool,
    max_age: Option<Duration>,
    age_in_lossless: bool,
    exchange: Option<(Box<dyn Allocate>, Box<dyn Ready>)>,
    members: Vec<(Worker, Member)>,
}

impl Group {
    /// Describes a group.
    pub fn builder() -> GroupBuilder {
        GroupBuilder {
            window: WindowSize::default(),
            eviction: Eviction::default(),
            open_ended: false,
            max_age: None,
            age_in_lossless: false,
            exchange: None,
            members: Vec::new(),
        }
    }

    /// Adds a member while the group runs: it starts at the next chunk id that is not open yet.
    ///
    /// # Errors
    /// If the group has opened chunks and was not built `open_ended`, was closed or stopped, or the
    /// member's configuration cannot be.
    pub fn add(&mut self, worker: &Worker, member: Member) -> Result<&Stream, ConfigError> {
        let launch = prepare(&self.core, worker.clone(), member, self.max_age)?;
        self.members.push(launch());
        Ok(&self.members[self.members.len() - 1])
    }

    /// The members, in the order they were added; those that have ended too.
    #[must_use]
    pub fn members(&self) -> &[Stream] {
        &self.members
    }

    /// Closes an open-ended group to new members: it ends with its last one.
    pub fn close(&self) {
        self.core.close();
    }

    /// Ends the group at once: nothing new is delivered, and what is in flight is dropped in this
    /// thread. From a callback on a worker it is a request.
    pub fn stop(&self) {
        self.core.mute();
        for member in &self.members {
            member.stop();
        }
        if !on_worker() {
            self.core.abandon();
        }
    }

    /// Ends the group in order: no more is read, and all that was received is delivered.
    pub fn finish(&self) {
        self.core.close();
        for member in &self.members {
            member.finish();
        }
    }

    /// Waits until all members have ended. The last chunks may still be on their way to the
    /// consumer, who sees the end after them.
    pub fn wait(&self) -> Vec<End> {
        self.members.iter().map(|member| member.wait()).collect()
    }

    /// The group's own counters; for those of its members see [`StreamHandle::stats`](super::StreamHandle::stats).
    #[must_use]
    pub fn stats(&self) -> GroupStats {
        self.core.stats()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl GroupBuilder {
    /// How many consecutive chunks are open at a time (2). Members' windows must not be larger;
    /// one chunk more than theirs lets them drift apart before they wait for each other.
    pub fn window(mut self, window: impl Into<WindowSize>) -> Self {
        self.window = window.into();
        self
    }

    /// What happens when the window has to move and a member still fills its oldest chunk.
    pub fn eviction(mut self, eviction: Eviction) -> Self {
        self.eviction = eviction;
        self
    }

    /// Members may be added and removed while the group runs; it ends with
    /// [`close`](Group::close).
    pub fn open_ended(mut self) -> Self {
        self.open_ended = true;
        self
    }

    /// Hands over a chunk that has been open this long though nothing newer arrives (off). Needs
    /// all members' readers to have been empty since, and none to wait for anything.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// As [`max_age`](Self::max_age), and accepts that a lossless group may then lose data that
    /// arrives later.
    pub fn max_age_in_lossless(mut self, age: Duration) -> Self {
        self.age_in_lossless = true;
        self.max_age(age)
    }

    /// Takes chunks from `pool` and pushes finished ones to `data`.
    pub fn ring(self, pool: &ChunkPool, data: &Ring<Chunk>, policy: RingPolicy) -> Self {
        let (allocate, ready) = ring_exchange(pool, data, policy);
        self.callbacks(allocate, ready)
    }

    /// Takes chunks from `allocate` and gives finished ones to `ready`. Both are called on members'
    /// workers, by one at a time.
    pub fn callbacks(
        mut self,
        allocate: impl Allocate + 'static,
        ready: impl Ready + 'static,
    ) -> Self {
        self.exchange = Some((Box::new(allocate), Box::new(ready)));
        self
    }

    /// Adds a member that will run on `worker`.
    pub fn member(mut self, worker: &Worker, member: Member) -> Self {
        self.members.push((worker.clone(), member));
        self
    }

    /// Starts the group: all members join before the first packet is read.
    ///
    /// # Errors
    /// If the configuration of the group or a member cannot be.
    pub fn start(self) -> Result<Group, ConfigError> {
        let (allocate, ready) = self.exchange.ok_or(ConfigError::NoExchange)?;
        let lossless = self.eviction == Eviction::Lossless;
        if lossless && self.max_age.is_some() && !self.age_in_lossless {
            return Err(ConfigError::AgeInLossless);
        }
        let core = Core::new(GroupParts {
            window: self.window.in_chunks()?,
            eviction: self.eviction,
            open_ended: self.open_ended,
            max_age: self.max_age,
            allocate,
            ready,
        });
        let launches: Vec<_> = self
            .members
            .into_iter()
            .map(|(worker, member)| prepare(&core, worker, member, self.max_age))
            .collect::<Result<_, _>>()?;
        let members = launches.into_iter().map(|launch| launch()).collect();
        Ok(Group { core, members, max_age: self.max_age })
    }
}

/// Lets a member join; what is returned starts it.
fn prepare(
    core: &Arc<Core>,
    worker: Worker,
    member: Member,
    max_age: Option<Duration>,
) -> Result<impl FnOnce() -> Stream + use<>, ConfigError> {
    let Member { options, division } = member;
    let window = options.window.in_chunks()?;
    let stream_id = options.config.stream_id;
    let packet_presence = options.packet_presence();
    let claims = division.map(|division| Units { division, packet_presence });
    let (number, head) = core.join(window, claims)?;
    let supply = MemberSupply::new(Arc::clone(core), number, stream_id, window);
    let counters = Arc::new(Counters::default());
    let parts = match options.engine(window, head, Some(number), supply, &counters) {
        Ok(parts) => parts,
        Err(error) => {
            core.leave(number);
            return Err(error);
        }
    };
    let Parts { engine, sources } = parts;
    let shared = Arc::new(Shared::new(engine, counters));
    let flag = worker.task_waker();
    let waker = Waker::from(Arc::clone(&flag));
    shared.set_waker(waker.clone());
    let laggard: Arc<dyn Laggard> = Arc::clone(&shared) as _;
    core.connect(number, waker, Arc::downgrade(&laggard));
    Ok(move || {
        let count = sources.readers.len();
        let task = StreamTask::new(Arc::clone(&shared), sources, max_age);
        worker.add(Box::new(task), flag);
        Stream::new(shared, &worker, count)
    })
}

impl From<JoinError> for ConfigError {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::WindowTooLarge { member, group } => Self::MemberWindow { member, group },
            JoinError::Started => Self::GroupStarted,
            JoinError::Closed => Self::GroupClosed,
            JoinError::TooMany => Self::TooManyMembers,
            JoinError::OtherUnits => Self::MemberLayout,
        }
    }
}
