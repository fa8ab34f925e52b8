typedef struct xc_interface_core xc_interface;

typedef struct {
    uint32_t domid, flags, shutdown_reason;
    uint32_t vcpus_online, vcpu_max_id;
    uint64_t pages, pages_max, cpu_time_ns;
    uint8_t handle[16];
} xo_domain;

typedef struct {
    uint32_t threads_per_core, cores_per_socket, cpus, nodes, cpu_khz;
    uint64_t pages, pages_free;
    uint8_t has_hvm, has_hap, has_iommu;
} xo_host;

typedef struct {
    uint32_t node, socket, core;
} xo_cpu;

typedef struct {
    const char *kernel, *ramdisk, *command_line;
    const uint8_t *acpi, *firmware;
    uint64_t acpi_at;
    uint32_t container, acpi_size, firmware_size, vcpus, vcpus_online, memory_mib, video_mib;
    uint32_t store_port, console_port;
    bool has_acpi;
    unsigned long store_frame, console_frame;
    const char *step;
} xo_guest;

typedef struct {
    uint32_t store_port, console_port;
    unsigned long store_frame, console_frame;
} xo_restored;

#define XO_DYING ...
#define XO_SHUTDOWN ...
#define XO_PAUSED ...
#define XO_PV ...
#define XO_PVH ...
#define XO_HVM ...

xc_interface *xo_open(void);
int xo_close(xc_interface *xch);
int xo_version(xc_interface *xch);
int xo_version_text(xc_interface *xch, char *extra, char *capabilities);
const char *xo_last_error(xc_interface *xch);
int xo_host_info(xc_interface *xch, xo_host *host);
int xo_cpus(xc_interface *xch, uint32_t room, xo_cpu *cpus);
int xo_nodes(xc_interface *xch, uint32_t room, uint64_t *free_bytes, uint32_t *distances);
int xo_domains(xc_interface *xch, uint32_t first, uint32_t count, xo_domain *domains);

int xo_create(xc_interface *xch, const uint8_t *handle, uint32_t ssidref, uint32_t vcpus, uint32_t container, bool pcis, uint32_t *domid);
int xo_set_handle(xc_interface *xch, uint32_t domid, uint8_t *handle);
int xo_set_memory_max(xc_interface *xch, uint32_t domid, uint64_t kib);
int xo_set_memory_map_limit(xc_interface *xch, uint32_t domid, unsigned long kib);
int xo_set_paging_memory(xc_interface *xch, uint32_t domid, uint32_t mib);
int xo_set_tsc_mode(xc_interface *xch, uint32_t domid, uint32_t mode);
int xo_set_cpu_policy(xc_interface *xch, uint32_t domid, const uint32_t *features, uint32_t count);
int xo_set_clocks(xc_interface *xch, uint32_t domid, int32_t offset_s);
int xo_set_viridian(xc_interface *xch, uint32_t domid, uint64_t mask);
int xo_allocate_port(xc_interface *xch, uint32_t domid);
int xo_build(xc_interface *xch, uint32_t domid, xo_guest *guest);
int xo_set_weight(xc_interface *xch, uint32_t domid, uint16_t weight, uint16_t cap);
int xo_set_affinity(xc_interface *xch, uint32_t domid, uint32_t vcpu, const uint8_t *cpus, uint32_t size, bool soft);

int xo_assign(xc_interface *xch, uint32_t domid, uint32_t device);
int xo_deassign(xc_interface *xch, uint32_t domid, uint32_t device);
int xo_ports(xc_interface *xch, uint32_t domid, uint32_t first, uint32_t count, bool allow);
int xo_frames(xc_interface *xch, uint32_t domid, unsigned long first, unsigned long count, bool allow);
int xo_interrupts(xc_interface *xch, uint32_t domid, uint32_t first, uint32_t count, bool allow);

int xo_has_drivers(xc_interface *xch, uint32_t domid);
int xo_press_power(xc_interface *xch, uint32_t domid);
int xo_press_sleep(xc_interface *xch, uint32_t domid);
int xo_is_asleep(xc_interface *xch, uint32_t domid);
int xo_set_asleep(xc_interface *xch, uint32_t domid, bool asleep);
int xo_shutdown(xc_interface *xch, uint32_t domid, int reason);
int xo_pause(xc_interface *xch, uint32_t domid);
int xo_unpause(xc_interface *xch, uint32_t domid);
int xo_resume(xc_interface *xch, uint32_t domid);
int xo_destroy(xc_interface *xch, uint32_t domid);

int xo_save(xc_interface *xch, int fd, uint32_t domid, bool live, int question_fd, int answer_fd);
int xo_restore(xc_interface *xch, int fd, uint32_t domid, xo_restored *restored);

int xo_read_console_ring(xc_interface *xch, char *buffer, unsigned int size);
int xo_send_debug_keys(xc_interface *xch, const char *keys);
int xo_featureset(xc_interface *xch, uint32_t index, uint32_t *words, uint32_t size);
