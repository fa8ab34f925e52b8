"""Constants of the RabbitMQ bus: every limit and delay, with its unit and reason."""

HEARTBEAT_S = 5
"""A dead peer is noticed after about twice this."""

CONNECT_TIMEOUT_S = 3.0
HANDSHAKE_TIMEOUT_S = 10.0
"""How long a node may take to be found by name and reached, and to let us in: others wait their turn."""

BLOCKED_TIMEOUT_S = 300
"""A broker that blocks us for longer is as good as gone: connect anew."""

CONFIRM_TIMEOUT_S = 5.0
"""A confirm may never come (the stream's writer was restarted): then a new channel, the same records."""

CONFIRM_CHECK_S = 1.0
"""How often confirms that do not come are looked for."""

RETRY_FIRST_S = 0.1
RETRY_MOST_S = 3.0
"""Back-off between attempts to take up a stream or queue: doubled each time, with jitter."""

RECONNECT_MOST_S = 1.0
"""The same between attempts to connect: a broker that is back should not be waited for any longer."""

MISSING_TOLD = 10
"""After so many refusals in a row, some 15 s, of what is not there, a log says so: it should be by then."""

ELSEWHERE_MAX = 6
"""After so many refusals, some seconds, of a stream that is not on this node of a cluster: the next node."""

LEAD_RETRY_S = 0.25
"""How often a standby asks for the leader's queue: leadership passes within a second."""

MARKER_RETRY_S = 1.0
"""How long a marker in a log may take before another is sent."""

MARKERS_MISSED_MAX = 15
"""After so many, with nothing read, the log is not what it was, and is taken up anew."""

IDLE_S = 300.0
"""After so long with nothing read, a reader looks whether the log's end still comes by."""

UNUSED_OFFSETS_MAX = 16
"""The broker keeps some offsets for itself, one at each new segment; who misses more has missed records."""

STREAM_PREFETCH = 2000
"""Records under way to one reader."""

STREAM_ACK_EVERY = 200
"""Records between two acknowledgements, which are the stream's flow control."""

SNAPSHOTS_BYTES_MAX = 256_000_000
SNAPSHOT_SEGMENT_BYTES_MAX = 16_000_000
"""How much of a service's snapshots the broker keeps: two of the largest; usual ones have some kilobytes."""

QUEUE_UNUSED_MS = 60_000
"""A queue that nobody serves any more goes after this, if not with its last server."""

MESSAGE_TTL_MS = 60_000
"""A request that nobody has taken by then is not answered late but dropped."""

READY_POLL_S = 0.005
"""How often `ready` looks."""

CLOSE_TIMEOUT_S = 5.0
"""How long `close` waits for confirms and for the thread."""
