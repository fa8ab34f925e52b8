/* What the worker asks of libxenctrl and libxenguest, in functions whose layouts the compiler checks. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#define XC_WANT_COMPAT_EVTCHN_API 1
#define XC_WANT_COMPAT_MAP_FOREIGN_API 1
#include <xenctrl.h>
#include <xen/hvm/hvm_info_table.h>
#include <xen/hvm/params.h>
#include <xenguest.h>

#if XEN_DOMCTL_INTERFACE_VERSION < 0x12
#error "these headers are older than Xen 4.14"
#endif

#define XO_DYING XEN_DOMINF_dying
#define XO_SHUTDOWN XEN_DOMINF_shutdown
#define XO_PAUSED XEN_DOMINF_paused

#define XO_PV 0
#define XO_PVH 1
#define XO_HVM 2

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
    const uint8_t *acpi, *firmware; /* PVH's tables; what hvmloader starts */
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

xc_interface *xo_open(void) { return xc_interface_open(NULL, NULL, 0); }
int xo_close(xc_interface *xch) { return xc_interface_close(xch); }
int xo_version(xc_interface *xch) { return xc_version(xch, XENVER_version, NULL); }

int xo_version_text(xc_interface *xch, char *extra, char *capabilities) {
    if (xc_version(xch, XENVER_extraversion, extra) < 0)
        return -1;
    return xc_version(xch, XENVER_capabilities, capabilities);
}

const char *xo_last_error(xc_interface *xch) {
    const xc_error *error = xc_get_last_error(xch);
    return error ? error->message : "";
}

int xo_host_info(xc_interface *xch, xo_host *host) {
    xc_physinfo_t info;
    memset(&info, 0, sizeof info);
    if (xc_physinfo(xch, &info) < 0)
        return -1;
    host->threads_per_core = info.threads_per_core;
    host->cores_per_socket = info.cores_per_socket;
    host->cpus = info.nr_cpus;
    host->nodes = info.nr_nodes;
    host->cpu_khz = info.cpu_khz;
    host->pages = info.total_pages;
    host->pages_free = info.free_pages;
    host->has_hvm = !!(info.capabilities & XEN_SYSCTL_PHYSCAP_hvm);
    host->has_hap = !!(info.capabilities & XEN_SYSCTL_PHYSCAP_hap);
    host->has_iommu = !!(info.capabilities & XEN_SYSCTL_PHYSCAP_directio);
    return 0;
}

/* As many as there is room for; answers how many there are, also if there is no room for any. */
int xo_cpus(xc_interface *xch, uint32_t room, xo_cpu *cpus) {
    unsigned int count = room;
    if (room == 0)
        return xc_cputopoinfo(xch, &count, NULL) < 0 ? -1 : (int)count;
    xc_cputopo_t *found = calloc(room, sizeof *found);
    if (!found)
        return -1;
    int result = xc_cputopoinfo(xch, &count, found);
    int error = errno;
    for (unsigned int i = 0; result >= 0 && i < count && i < room; i++) {
        cpus[i].node = found[i].node;
        cpus[i].socket = found[i].socket;
        cpus[i].core = found[i].core;
    }
    free(found);
    errno = error;
    return result < 0 ? -1 : (int)count;
}

/* The same of nodes: the free bytes of each, and the distances of each from all, row by row. */
int xo_nodes(xc_interface *xch, uint32_t room, uint64_t *free_bytes, uint32_t *distances) {
    unsigned int count = room;
    if (room == 0)
        return xc_numainfo(xch, &count, NULL, NULL) < 0 ? -1 : (int)count;
    xc_meminfo_t *found = calloc(room, sizeof *found);
    if (!found)
        return -1;
    int result = xc_numainfo(xch, &count, found, distances);
    int error = errno;
    for (unsigned int i = 0; result >= 0 && i < count && i < room; i++)
        free_bytes[i] = found[i].memsize == XEN_INVALID_MEM_SZ ? 0 : found[i].memfree;
    free(found);
    errno = error;
    return result < 0 ? -1 : (int)count;
}

int xo_domains(xc_interface *xch, uint32_t first, uint32_t count, xo_domain *domains) {
    xc_domaininfo_t infos[64];
    int found = xc_domain_getinfolist(xch, first, count < 64 ? count : 64, infos);
    for (int i = 0; i < found; i++) {
        xo_domain *to = &domains[i];
        to->domid = infos[i].domain;
        to->flags = infos[i].flags & ((1u << XEN_DOMINF_shutdownshift) - 1);
        to->shutdown_reason = (infos[i].flags >> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask;
        to->vcpus_online = infos[i].nr_online_vcpus;
        to->vcpu_max_id = infos[i].max_vcpu_id;
        to->pages = infos[i].tot_pages;
        to->pages_max = infos[i].max_pages;
        to->cpu_time_ns = infos[i].cpu_time;
        memcpy(to->handle, infos[i].handle, sizeof to->handle);
    }
    return found;
}

static bool has_hap(xc_interface *xch) {
    xo_host host;
    return xo_host_info(xch, &host) == 0 && host.has_hap;
}

int xo_create(xc_interface *xch, const uint8_t *handle, uint32_t ssidref, uint32_t vcpus, uint32_t container, bool pcis, uint32_t *domid) {
    struct xen_domctl_createdomain config;
    memset(&config, 0, sizeof config);
    memcpy(config.handle, handle, sizeof config.handle);
    config.ssidref = ssidref;
    config.max_vcpus = vcpus;
    config.max_evtchn_port = 1023 + 32 * vcpus; /* devices and vCPUs; the hypervisor's own limit is 2^17 */
    config.max_grant_frames = -1;               /* the hypervisor's default */
    config.max_maptrack_frames = -1;
#ifdef XEN_DOMCTL_GRANT_version
    config.grant_opts = XEN_DOMCTL_GRANT_version(2);
#endif
    if (container != XO_PV) {
        config.flags = XEN_DOMCTL_CDF_hvm | (has_hap(xch) ? XEN_DOMCTL_CDF_hap : 0);
        config.arch.emulation_flags = container == XO_HVM ? XEN_X86_EMU_ALL & ~XEN_X86_EMU_VPCI : XEN_X86_EMU_LAPIC;
    }
    if (pcis)
        config.flags |= XEN_DOMCTL_CDF_iommu;
    *domid = 0; /* the next free one */
    if (xc_domain_create(xch, domid, &config) < 0)
        return -1;
    return xc_domain_max_vcpus(xch, *domid, vcpus);
}

int xo_set_handle(xc_interface *xch, uint32_t domid, uint8_t *handle) {
    return xc_domain_sethandle(xch, domid, handle);
}

int xo_set_memory_max(xc_interface *xch, uint32_t domid, uint64_t kib) {
    return xc_domain_setmaxmem(xch, domid, kib);
}

int xo_set_memory_map_limit(xc_interface *xch, uint32_t domid, unsigned long kib) {
    return xc_domain_set_memmap_limit(xch, domid, kib);
}

/* Where the hypervisor keeps a guest's second page tables, and its log of written pages. */
int xo_set_paging_memory(xc_interface *xch, uint32_t domid, uint32_t mib) {
#if XEN_DOMCTL_INTERFACE_VERSION >= 0x15
    return xc_set_paging_mempool_size(xch, domid, (uint64_t)mib << 20);
#elif XEN_DOMCTL_INTERFACE_VERSION >= 0x14
    unsigned int size = mib;
    return xc_shadow_control(xch, domid, XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION, &size, 0);
#else
    unsigned long size = mib;
    return xc_shadow_control(xch, domid, XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION, NULL, 0, &size, 0, NULL);
#endif
}

int xo_set_tsc_mode(xc_interface *xch, uint32_t domid, uint32_t mode) {
    return xc_domain_set_tsc_info(xch, domid, mode, 0, 0, 0);
}

#define TIMER_CATCHES_UP 1 /* "no_delay_for_missed_ticks" of hvm/params.h: what libxl gives, too */

/* A computer's clocks; how far the one that keeps the date is from UTC. */
int xo_set_clocks(xc_interface *xch, uint32_t domid, int32_t offset_s) {
    if (xc_hvm_param_set(xch, domid, HVM_PARAM_TIMER_MODE, TIMER_CATCHES_UP) < 0 ||
        xc_hvm_param_set(xch, domid, HVM_PARAM_HPET_ENABLED, 1) < 0)
        return -1;
    return xc_domain_set_time_offset(xch, domid, offset_s);
}

/* What of Microsoft's interface a guest finds; once for a domain's life. */
int xo_set_viridian(xc_interface *xch, uint32_t domid, uint64_t mask) {
    return xc_hvm_param_set(xch, domid, HVM_PARAM_VIRIDIAN, mask);
}

static int set_cpu_policy(xc_interface *xch, uint32_t domid, bool restore, const uint32_t *features, uint32_t count) {
#if XEN_DOMCTL_INTERFACE_VERSION >= 0x15
    return xc_cpuid_apply_policy(xch, domid, restore, features, count, true, false, false, NULL, NULL);
#else
    return xc_cpuid_apply_policy(xch, domid, restore, features, count, true, false, false, NULL);
#endif
}

/* Without features: the default ones. */
int xo_set_cpu_policy(xc_interface *xch, uint32_t domid, const uint32_t *features, uint32_t count) {
    return set_cpu_policy(xch, domid, false, count ? features : NULL, count);
}

int xo_allocate_port(xc_interface *xch, uint32_t domid) { return xc_evtchn_alloc_unbound(xch, domid, 0); }

/* Each step has a name, for the sentence of an error. */
#define DO(name, call)                                                                                       \
    do {                                                                                                     \
        guest->step = name;                                                                                     \
        if ((call) != 0)                                                                                     \
            return -1;                                                                                       \
    } while (0)

/* Of a PVH guest's addresses below 4 GiB: from here on is no memory. */
#define HOLE_AT (0xf0000000ull)
#define FOUR_GIB (4ull << 30)
#define ENTRIES_MAX 4

static void set_entry(struct e820entry *entry, uint64_t from, uint64_t to, uint32_t type) {
    entry->addr = from;
    entry->size = to - from;
    entry->type = type;
}

/* As Xen's public documents pvh.markdown and hvm/start_info.h have it: memory, Xen's own pages, ACPI. */
static int lay_out_pvh(xc_interface *xch, uint32_t domid, xo_guest *guest, struct xc_dom_image *image,
                       struct e820entry *map) {
    uint64_t memory = (uint64_t)guest->memory_mib << 20;
    uint64_t special = (uint64_t)X86_HVM_END_SPECIAL_REGION << XC_PAGE_SHIFT;
    uint64_t acpi_end = guest->acpi_at + (((uint64_t)guest->acpi_size + XC_PAGE_SIZE - 1) & XC_PAGE_MASK);
    uint32_t entries = 0;
    set_entry(&map[entries++], 0, image->lowmem_end, E820_RAM);
    set_entry(&map[entries++], guest->acpi_at, acpi_end, E820_ACPI);
    set_entry(&map[entries++], special - ((uint64_t)X86_HVM_NR_SPECIAL_PAGES << XC_PAGE_SHIFT), special, E820_RESERVED);
    if (memory > HOLE_AT)
        set_entry(&map[entries++], FOUR_GIB, image->highmem_end, E820_RAM);
    image->e820 = map;
    image->e820_entries = entries;
    image->acpi_modules[0].data = (uint8_t *)guest->acpi;
    image->acpi_modules[0].length = guest->acpi_size;
    image->acpi_modules[0].guest_addr_out = guest->acpi_at;
    return xc_domain_set_memory_map(xch, domid, map, entries);
}

static void contain_below(uint32_t memory_mib, struct xc_dom_image *image) {
    uint64_t memory = (uint64_t)memory_mib << 20;
    image->container_type = XC_DOM_HVM_CONTAINER;
    image->target_pages = memory >> XC_PAGE_SHIFT;
    image->mmio_start = HOLE_AT;
    image->mmio_size = FOUR_GIB - HOLE_AT;
    image->lowmem_end = memory < HOLE_AT ? memory : HOLE_AT;
    image->highmem_end = memory > HOLE_AT ? FOUR_GIB + memory - HOLE_AT : 0;
}

static void contain_pvh(xo_guest *guest, struct xc_dom_image *image) {
    contain_below(guest->memory_mib, image);
    image->device_model = false;
    image->max_vcpus = guest->vcpus;
}

#define ONE_MIB (1ull << 20)
#define VGA_HOLE_PAGES 0x20 /* 0xa0000 to 0xbffff, where a picture is */

/* As a computer's firmware finds it: no memory where the old picture was, nor where the device model's
 * picture is, of which the device model gets the memory itself. hvmloader tells the guest the rest. */
static void contain_hvm(xo_guest *guest, struct xc_dom_image *image) {
    contain_below(guest->memory_mib - guest->video_mib, image);
    image->device_model = true;
    image->max_vcpus = guest->vcpus;
    image->vga_hole_size = VGA_HOLE_PAGES;
    image->system_firmware_module.data = (uint8_t *)guest->firmware;
    image->system_firmware_module.length = guest->firmware_size;
}

static int lay_out_hvm(xc_interface *xch, uint32_t domid, struct xc_dom_image *image, struct e820entry *map) {
    uint32_t entries = 0;
    set_entry(&map[entries++], ONE_MIB, image->lowmem_end, E820_RAM);
    if (image->highmem_end)
        set_entry(&map[entries++], FOUR_GIB, image->highmem_end, E820_RAM);
    image->e820 = map;
    image->e820_entries = entries;
    return xc_domain_set_memory_map(xch, domid, map, entries);
}

/* What hvmloader reads of its vCPUs; libxenguest has written the rest of the table. */
static int inform_hvmloader(xc_interface *xch, uint32_t domid, const xo_guest *guest) {
    uint8_t *page = xc_map_foreign_range(xch, domid, XC_PAGE_SIZE, PROT_READ | PROT_WRITE, HVM_INFO_PFN);
    if (!page)
        return -1;
    struct hvm_info_table *table = (struct hvm_info_table *)(page + HVM_INFO_OFFSET);
    table->apic_mode = guest->has_acpi;
    table->nr_vcpus = guest->vcpus;
    memset(table->vcpu_online, 0, sizeof table->vcpu_online);
    for (uint32_t vcpu = 0; vcpu < guest->vcpus_online; vcpu++)
        table->vcpu_online[vcpu / 8] |= 1 << vcpu % 8;
    uint8_t sum = 0;
    table->checksum = 0;
    for (uint32_t i = 0; i < table->length; i++)
        sum += ((uint8_t *)table)[i];
    table->checksum = -sum;
    return munmap(page, XC_PAGE_SIZE);
}

static int build_image(xc_interface *xch, uint32_t domid, xo_guest *guest, struct xc_dom_image *image) {
    struct e820entry map[ENTRIES_MAX];
    bool pvh = guest->container == XO_PVH, hvm = guest->container == XO_HVM;
    if (pvh)
        contain_pvh(guest, image);
    if (hvm)
        contain_hvm(guest, image);
    image->console_domid = image->xenstore_domid = 0;
    image->console_evtchn = guest->console_port;
    image->xenstore_evtchn = guest->store_port;
    DO("read the kernel", xc_dom_kernel_file(image, guest->kernel));
    if (guest->ramdisk)
        DO("read the ramdisk", xc_dom_module_file(image, guest->ramdisk, NULL));
    DO("look at the domain", xc_dom_boot_xen_init(image, xch, domid));
    DO("understand the kernel", xc_dom_parse_image(image));
    DO("lay out the memory", xc_dom_mem_init(image, guest->memory_mib - guest->video_mib));
    DO("get the memory", xc_dom_boot_mem_init(image));
    if (pvh)
        DO("lay out the addresses", lay_out_pvh(xch, domid, guest, image, map));
    if (hvm)
        DO("lay out the addresses", lay_out_hvm(xch, domid, image, map));
    DO("put the kernel in", xc_dom_build_image(image));
    DO("set the vCPU up", xc_dom_boot_image(image));
    DO("grant the rings", xc_dom_gnttab_init(image));
    if (hvm)
        DO("tell hvmloader of the vCPUs", inform_hvmloader(xch, domid, guest));
    if (pvh || hvm) {
        DO("tell the store's port", xc_hvm_param_set(xch, domid, HVM_PARAM_STORE_EVTCHN, guest->store_port));
        DO("tell the console's port", xc_hvm_param_set(xch, domid, HVM_PARAM_CONSOLE_EVTCHN, guest->console_port));
    }
    guest->store_frame = xc_dom_p2m(image, image->xenstore_pfn);
    guest->console_frame = xc_dom_p2m(image, image->console_pfn);
    guest->step = "";
    return 0;
}

int xo_build(xc_interface *xch, uint32_t domid, xo_guest *guest) {
    guest->step = "begin";
    xc_dom_loginit(xch);
    struct xc_dom_image *image = xc_dom_allocate(xch, guest->command_line, NULL);
    if (!image)
        return -1;
    int result = build_image(xch, domid, guest, image);
    int error = errno;
    xc_dom_release(image);
    errno = error;
    return result;
}

int xo_set_weight(xc_interface *xch, uint32_t domid, uint16_t weight, uint16_t cap) {
    struct xen_domctl_sched_credit2 wanted = {.weight = weight, .cap = cap};
    return xc_sched_credit2_domain_set(xch, domid, &wanted);
}

/* Where a vCPU may run, or, `soft`, where it had rather. */
int xo_set_affinity(xc_interface *xch, uint32_t domid, uint32_t vcpu, const uint8_t *cpus, uint32_t size, bool soft) {
    xc_cpumap_t map = xc_cpumap_alloc(xch);
    int length = xc_get_cpumap_size(xch);
    if (!map || length <= 0)
        return -1;
    memcpy(map, cpus, size < (uint32_t)length ? size : (uint32_t)length);
    int result = soft ? xc_vcpu_setaffinity(xch, domid, vcpu, NULL, map, XEN_VCPUAFFINITY_SOFT)
                      : xc_vcpu_setaffinity(xch, domid, vcpu, map, NULL, XEN_VCPUAFFINITY_HARD);
    int error = errno;
    free(map);
    errno = error;
    return result;
}

int xo_assign(xc_interface *xch, uint32_t domid, uint32_t device) { return xc_assign_device(xch, domid, device, 0); }
int xo_deassign(xc_interface *xch, uint32_t domid, uint32_t device) { return xc_deassign_device(xch, domid, device); }

int xo_ports(xc_interface *xch, uint32_t domid, uint32_t first, uint32_t count, bool allow) {
    return xc_domain_ioport_permission(xch, domid, first, count, allow);
}

int xo_frames(xc_interface *xch, uint32_t domid, unsigned long first, unsigned long count, bool allow) {
    return xc_domain_iomem_permission(xch, domid, first, count, allow);
}

static int permit_interrupt(xc_interface *xch, uint32_t domid, int interrupt, bool allow) {
    int pirq = interrupt;
    if (allow && xc_physdev_map_pirq(xch, domid, interrupt, &pirq) < 0)
        return -1;
    if (!allow)
        xc_physdev_unmap_pirq(xch, domid, interrupt);
    return xc_domain_irq_permission(xch, domid, pirq, allow);
}

int xo_interrupts(xc_interface *xch, uint32_t domid, uint32_t first, uint32_t count, bool allow) {
    for (uint32_t i = 0; i < count; i++)
        if (permit_interrupt(xch, domid, (int)(first + i), allow) < 0)
            return -1;
    return 0;
}

/* Whether a guest has told how events reach it, as its paravirtual drivers do first. */
int xo_has_drivers(xc_interface *xch, uint32_t domid) {
    uint64_t callback = 0;
    return xc_hvm_param_get(xch, domid, HVM_PARAM_CALLBACK_IRQ, &callback) < 0 ? -1 : callback != 0;
}

int xo_press_power(xc_interface *xch, uint32_t domid) {
    return xc_domain_send_trigger(xch, domid, XEN_DOMCTL_SENDTRIGGER_POWER, 0);
}

int xo_press_sleep(xc_interface *xch, uint32_t domid) {
    return xc_domain_send_trigger(xch, domid, XEN_DOMCTL_SENDTRIGGER_SLEEP, 0);
}

#define S0 0 /* ACPI's numbers: awake, and asleep in memory */
#define S3 3

int xo_is_asleep(xc_interface *xch, uint32_t domid) {
    uint64_t state = S0;
    return xc_hvm_param_get(xch, domid, HVM_PARAM_ACPI_S_STATE, &state) < 0 ? -1 : state == S3;
}

int xo_set_asleep(xc_interface *xch, uint32_t domid, bool asleep) {
    return xc_hvm_param_set(xch, domid, HVM_PARAM_ACPI_S_STATE, asleep ? S3 : S0);
}

int xo_shutdown(xc_interface *xch, uint32_t domid, int reason) { return xc_domain_shutdown(xch, domid, reason); }
int xo_pause(xc_interface *xch, uint32_t domid) { return xc_domain_pause(xch, domid); }
int xo_unpause(xc_interface *xch, uint32_t domid) { return xc_domain_unpause(xch, domid); }
int xo_resume(xc_interface *xch, uint32_t domid) { return xc_domain_resume(xch, domid, 1); }
int xo_destroy(xc_interface *xch, uint32_t domid) { return xc_domain_destroy(xch, domid); }

struct asking {
    int question_fd, answer_fd;
};

/* The parent has the guest suspended: it has the xenstore, and knows whether its task was cancelled. */
static int ask_for_suspend(void *data) {
    struct asking *asking = data;
    char answer = 0;
    ssize_t count;
    if (write(asking->question_fd, "s", 1) != 1)
        return 0;
    do
        count = read(asking->answer_fd, &answer, 1);
    while (count < 0 && errno == EINTR);
    return count == 1 && answer == 'y';
}

/* There is no device model that writes to the guest's memory. */
static int log_no_device_model(uint32_t domid, unsigned enable, void *data) { return 0; }

int xo_save(xc_interface *xch, int fd, uint32_t domid, bool live, int question_fd, int answer_fd) {
    struct asking asking = {.question_fd = question_fd, .answer_fd = answer_fd};
    struct save_callbacks callbacks;
    memset(&callbacks, 0, sizeof callbacks);
    callbacks.suspend = ask_for_suspend;
    callbacks.switch_qemu_logdirty = log_no_device_model;
    callbacks.data = &asking;
    return xc_domain_save(xch, fd, domid, live ? XCFLAGS_LIVE : 0, &callbacks, XC_STREAM_PLAIN, -1);
}

/* An image of Xen 4.13 or older has no CPU policy of its own: the default one stands for it. */
static int complete_static_data(unsigned int missing, void *data) {
    struct {
        xc_interface *xch;
        uint32_t domid;
    } *of = data;
    return missing & XGR_SDD_MISSING_CPUID ? set_cpu_policy(of->xch, of->domid, true, NULL, 0) : 0;
}

int xo_restore(xc_interface *xch, int fd, uint32_t domid, xo_restored *restored) {
    struct {
        xc_interface *xch;
        uint32_t domid;
    } of = {.xch = xch, .domid = domid};
    struct restore_callbacks callbacks;
    memset(&callbacks, 0, sizeof callbacks);
    callbacks.static_data_done = complete_static_data;
    callbacks.data = &of;
    return xc_domain_restore(xch, fd, domid, restored->store_port, &restored->store_frame, 0,
                             restored->console_port, &restored->console_frame, 0, XC_STREAM_PLAIN, &callbacks, -1);
}

int xo_read_console_ring(xc_interface *xch, char *buffer, unsigned int size) {
    unsigned int count = size;
    return xc_readconsolering(xch, buffer, &count, 0, 0, NULL) < 0 ? -1 : (int)count;
}

int xo_send_debug_keys(xc_interface *xch, const char *keys) { return xc_send_debug_keys(xch, keys); }

int xo_featureset(xc_interface *xch, uint32_t index, uint32_t *words, uint32_t size) {
    uint32_t count = size;
    return xc_get_cpu_featureset(xch, index, &count, words) < 0 ? -1 : (int)count;
}
