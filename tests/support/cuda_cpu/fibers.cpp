// The executor with fibers: one operating-system thread runs the CUDA threads of a block in turn, each until it reaches
// a barrier. At each barrier the order in which they go on is drawn from a seed, and so is the order of the blocks: a
// kernel whose result depends on an order gives different results for different seeds. With the seed 0 both orders are
// natural.
//
// A fiber is a stack on which CUDA threads run. A thread that ends leaves its fiber to the next thread, without a
// switch; only a thread that waits at a barrier keeps its fiber. So a block without barriers needs one fiber.

#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

#include "execution.h"

#if !defined(__x86_64__) || defined(CUDA_CPU_UCONTEXT)
#include <ucontext.h>
#endif

namespace cuda_cpu {

uint3 thread_index, block_index;
unsigned linear_thread;
char* dynamic_shared;
unsigned long long block_number;
dim3 block_extent, grid_extent;

namespace {

// ---- switching between stacks

constexpr size_t STACK = 64 * 1024;  // bytes that a fiber may use
constexpr size_t GUARD = 4 * 1024;   // bytes below that cannot be accessed
constexpr size_t OFFSETS = 16;       // stacks begin at different offsets: they share fewer lines of the caches
constexpr size_t OFFSET = 256;
constexpr size_t PITCH = GUARD + STACK + OFFSETS * OFFSET;

#if defined(__x86_64__) && !defined(CUDA_CPU_UCONTEXT)

using Context = void*;  // the stack pointer; the registers that a function must preserve lie on the stack

extern "C" void cuda_cpu_switch(Context* from, Context to);
asm(R"(
.text
.type cuda_cpu_switch, @function
cuda_cpu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size cuda_cpu_switch, . - cuda_cpu_switch
)");

inline void switch_context(Context& from, const Context& to) { cuda_cpu_switch(&from, to); }

void prepare_context(Context& context, char* stack, void (*function)()) {
    void** top = reinterpret_cast<void**>(stack + STACK);
    *--top = nullptr;                              // the return address of `function`, which never returns
    *--top = reinterpret_cast<void*>(function);    // where the switch returns to
    for (int i = 0; i < 6; ++i) *--top = nullptr;  // the preserved registers
    context = top;
}

#else

using Context = ucontext_t;

inline void switch_context(Context& from, const Context& to) { swapcontext(&from, &to); }

void prepare_context(Context& context, char* stack, void (*function)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = STACK;
    context.uc_link = nullptr;
    makecontext(&context, function, 0);
}

#endif

// ---- the state of the launch

enum State : unsigned char { RUNNABLE, AT_BLOCK_BARRIER, AT_WARP_BARRIER, FINISHED };

struct Fiber {
    Context context;
    char* stack;
};

struct Thread {
    uint3 index;
    Fiber* fiber;  // null before it starts
};

constexpr unsigned ORDERS = 8;  // of the threads or lanes, from which one is drawn, and where in it to begin

Fiber fibers[MAX_THREADS];
Fiber* idle[MAX_THREADS];
unsigned idle_count;
bool have_stacks;

Thread threads[MAX_THREADS];
State states[MAX_THREADS];
unsigned char exchanges[MAX_THREADS];  // the number of exchanges so far, modulo 2
unsigned thread_count, finished;
unsigned block_arrivals, warp_arrivals[MAX_THREADS / WARP];
Place block_place, warp_place[MAX_THREADS / WARP];

uint16_t queue[2 * MAX_THREADS];  // the threads that can run, a ring
unsigned queue_head, queue_length;

uint16_t* thread_orders[MAX_THREADS + 1];  // for each number of threads ORDERS orders, made when first needed
uint16_t lane_orders[ORDERS][WARP];
bool shuffled;
uint64_t random_state;

Context launcher;
Entry entry;
const void* entry_arguments;
const char* kernel_name;
bool failed;
char message[1024];

alignas(16) char exchanged[MAX_THREADS / WARP][2][WARP * MAX_EXCHANGED];
SharedArray* opened;
size_t opened_bytes, dynamic_bytes;
char* dynamic_memory;
size_t dynamic_capacity;

inline uint64_t random_bits() {  // xorshift64*
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1dULL;
}

inline unsigned random_below(unsigned bound) { return unsigned((random_bits() >> 32) * bound >> 32); }

// ---- the threads that can run

inline void enqueue(unsigned thread) {
    queue[(queue_head + queue_length++) % (2 * MAX_THREADS)] = uint16_t(thread);
}

inline void enqueue_first(unsigned thread) {
    queue_head = (queue_head - 1) % (2 * MAX_THREADS);
    queue[queue_head] = uint16_t(thread);
    ++queue_length;
}

inline unsigned dequeue() {
    const unsigned thread = queue[queue_head];
    queue_head = (queue_head + 1) % (2 * MAX_THREADS);
    --queue_length;
    return thread;
}

void enqueue_block() {
    const uint16_t* order = thread_orders[thread_count];
    unsigned start = 0;
    if (shuffled) {
        order += random_below(ORDERS) * thread_count;
        start = random_below(thread_count);
    }
    queue_head = 0;
    queue_length = thread_count;
    memcpy(queue, order + start, (thread_count - start) * sizeof *queue);
    memcpy(queue + thread_count - start, order, start * sizeof *queue);
}

inline bool differs(const char* a, const char* b) { return a != b && strcmp(a, b) != 0; }

inline void become(unsigned thread) {
    linear_thread = thread;
    thread_index = threads[thread].index;
}

// The message for threads that wait and cannot go on.
void describe_waiting() {
    unsigned counts[4] = {};
    for (unsigned t = 0; t < thread_count; ++t) ++counts[states[t]];
    const bool block = counts[AT_BLOCK_BARRIER] > 0;
    Place place = block_place;
    for (unsigned warp = 0; !block && warp < MAX_THREADS / WARP; ++warp)
        if (warp_arrivals[warp]) place = warp_place[warp];
    snprintf(message, sizeof message,
             "kernel %s, block (%u, %u, %u): a divergent barrier: at %s:%d threads wait for the others of their %s, "
             "but of %u threads %u have returned, %u wait for their block and %u for their warp",
             kernel_name, block_index.x, block_index.y, block_index.z, place.file, place.line, block ? "block" : "warp",
             thread_count, counts[FINISHED], counts[AT_BLOCK_BARRIER], counts[AT_WARP_BARRIER]);
}

// Leave the launch with an error; called on a fiber, which never continues.
[[noreturn]] void abandon() {
    failed = true;
    Context never;
    switch_context(never, launcher);
    abort();
}

Fiber* idle_fiber() { return idle[--idle_count]; }

// Run the next thread in place of this one, which waits; returns when this one runs again.
void run_others() {
    if (queue_length == 0) {
        describe_waiting();
        abandon();
    }
    const unsigned next = dequeue();
    if (next == linear_thread) return;
    Fiber* mine = threads[linear_thread].fiber;
    if (!threads[next].fiber) threads[next].fiber = idle_fiber();
    become(next);
    switch_context(mine->context, threads[next].fiber->context);
}

// What a fiber does: run the current thread, then the next that has not started, ...
void fiber_main() {
    Fiber* mine = threads[linear_thread].fiber;
    for (;;) {
        entry(entry_arguments);
        states[linear_thread] = FINISHED;
        ++finished;
        if (queue_length == 0) {
            if (finished < thread_count) {
                describe_waiting();
                abandon();
            }
            idle[idle_count++] = mine;
            switch_context(mine->context, launcher);
            continue;
        }
        const unsigned next = dequeue();
        become(next);
        if (threads[next].fiber) {
            idle[idle_count++] = mine;
            switch_context(mine->context, threads[next].fiber->context);
        } else {
            threads[next].fiber = mine;
        }
    }
}

// ---- faults: a wild access ends the launch, not the process

constexpr int FAULTS[] = {SIGSEGV, SIGBUS, SIGFPE};
constexpr size_t HANDLER_STACK = 64 * 1024;

struct sigaction other_actions[3];
stack_t other_stack;
char* handler_stack;
__thread bool launching;

void on_fault(int signal, siginfo_t* information, void*) {
    if (!launching) {  // another thread's: whoever handled it before is called when the instruction faults again
        for (int i = 0; i < 3; ++i) sigaction(FAULTS[i], &other_actions[i], nullptr);
        return;
    }
    if (signal == SIGFPE) fail("divided an integer by zero");
    fail("accessed memory outside of its arrays, or a vector at an address that is not a multiple of its size (address "
         "0x%zx)",
         reinterpret_cast<size_t>(information->si_addr));
}

void catch_faults() {
    if (!handler_stack) handler_stack = static_cast<char*>(malloc(HANDLER_STACK));
    stack_t stack = {};
    stack.ss_sp = handler_stack;
    stack.ss_size = HANDLER_STACK;
    sigaltstack(&stack, &other_stack);  // the fault may be that a fiber's stack is full
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;  // the handler does not return
    for (int i = 0; i < 3; ++i) sigaction(FAULTS[i], &action, &other_actions[i]);
    launching = true;
}

void release_faults() {
    launching = false;
    for (int i = 0; i < 3; ++i) sigaction(FAULTS[i], &other_actions[i], nullptr);
    sigaltstack(&other_stack, nullptr);
}

void prepare_fibers() {
    if (!have_stacks) {
        void* memory = mmap(nullptr, MAX_THREADS * PITCH, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
            perror("cuda_cpu: no memory for stacks");
            abort();
        }
        for (unsigned i = 0; i < MAX_THREADS; ++i) {
            char* guard = static_cast<char*>(memory) + i * PITCH;
            mprotect(guard, GUARD, PROT_NONE);
            fibers[i].stack = guard + GUARD + i % OFFSETS * OFFSET;
        }
        have_stacks = true;
    }
    idle_count = 0;
    for (unsigned i = MAX_THREADS; i-- > 0;) {
        prepare_context(fibers[i].context, fibers[i].stack, fiber_main);
        idle[idle_count++] = &fibers[i];
    }
}

template <class T>
void shuffle(T* items, unsigned count) {
    for (unsigned i = count; i > 1; --i) {
        const unsigned j = random_below(i);
        const T other = items[j];
        items[j] = items[i - 1];
        items[i - 1] = other;
    }
}

// Fill `orders` with the natural order, the reverse, and random ones.
void make_orders(uint16_t* orders, unsigned count) {
    random_state = 1;
    for (unsigned i = 0; i < ORDERS; ++i, orders += count) {
        for (unsigned t = 0; t < count; ++t) orders[t] = uint16_t(i == 1 ? count - 1 - t : t);
        if (i > 1) shuffle(orders, count);
    }
}

void prepare_indices() {
    Thread* thread = threads;
    for (unsigned z = 0; z < block_extent.z; ++z)
        for (unsigned y = 0; y < block_extent.y; ++y)
            for (unsigned x = 0; x < block_extent.x; ++x) (thread++)->index = {x, y, z};
}

void prepare_orders(unsigned seed) {
    uint16_t*& orders = thread_orders[thread_count];
    if (!orders) {
        orders = static_cast<uint16_t*>(malloc(ORDERS * thread_count * sizeof *orders));
        make_orders(orders, thread_count);
        make_orders(lane_orders[0], WARP);
    }
    shuffled = seed != 0;
    random_state = seed * 0x9e3779b97f4a7c15ULL + 1;
    for (int i = 0; i < 4; ++i) random_bits();  // similar seeds then have little in common
}

// A step that visits each of `count` blocks once.
unsigned coprime_step(unsigned count) {
    unsigned step = shuffled ? 1 + random_below(count) : 1;
    for (;; ++step) {
        unsigned a = count, b = step;
        while (b) {
            const unsigned rest = a % b;
            a = b;
            b = rest;
        }
        if (a == 1) return step;
    }
}

void prepare_dynamic(size_t bytes) {
    dynamic_bytes = bytes;
    if (bytes + 2 * GAP > dynamic_capacity) {
        free(dynamic_memory);
        dynamic_capacity = bytes + 2 * GAP;
        dynamic_memory = static_cast<char*>(aligned_alloc(GAP, (dynamic_capacity + GAP - 1) / GAP * GAP));
    }
    dynamic_shared = dynamic_memory + GAP;
}

bool is_poison(const char* memory, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i)
        if (static_cast<unsigned char>(memory[i]) != POISON) return false;
    return true;
}

bool gaps_intact(const char* name, const char* memory, size_t bytes) {
    const bool before = is_poison(memory, GAP), after = is_poison(memory + GAP + bytes, GAP);
    if (before && after) return true;
    const char* where = before ? "past the end of" : "before the start of";
    snprintf(message, sizeof message, "kernel %s, block (%u, %u, %u): wrote %s the shared array %s (of %zu bytes)",
             kernel_name, block_index.x, block_index.y, block_index.z, where, name, bytes);
    return false;
}

bool run_block(unsigned block) {
    block_index = {block % grid_extent.x, block / grid_extent.x % grid_extent.y, block / grid_extent.x / grid_extent.y};
    ++block_number;
    opened = nullptr;
    opened_bytes = dynamic_bytes;
    if (dynamic_bytes) memset(dynamic_memory, POISON, dynamic_bytes + 2 * GAP);
    finished = block_arrivals = 0;
    memset(warp_arrivals, 0, sizeof warp_arrivals);
    memset(states, RUNNABLE, thread_count);
    memset(exchanges, 0, thread_count);
    for (unsigned t = 0; t < thread_count; ++t) threads[t].fiber = nullptr;
    enqueue_block();
    const unsigned first = dequeue();
    threads[first].fiber = idle_fiber();
    become(first);
    switch_context(launcher, threads[first].fiber->context);
    if (failed) return false;
    if (dynamic_bytes && !gaps_intact("in dynamic memory", dynamic_memory, dynamic_bytes)) return false;
    for (SharedArray* array = opened; array; array = array->next)
        if (!gaps_intact(array->name, array->memory, array->bytes)) return false;
    return true;
}

}  // namespace

void wait_for_block(Place place) {
    if (block_arrivals && (place.line != block_place.line || differs(place.file, block_place.file)))
        fail("a divergent barrier: some threads of the block are at %s:%d, others at %s:%d", block_place.file,
             block_place.line, place.file, place.line);
    block_place = place;
    states[linear_thread] = AT_BLOCK_BARRIER;
    if (++block_arrivals == thread_count) {
        block_arrivals = 0;
        memset(states, RUNNABLE, thread_count);
        enqueue_block();
    }
    run_others();
}

void wait_for_warp(Place place) {
    const unsigned warp = linear_thread / WARP, first = warp * WARP;
    const unsigned lanes = thread_count - first < WARP ? thread_count - first : WARP;
    if (warp_arrivals[warp] && (place.line != warp_place[warp].line || differs(place.file, warp_place[warp].file)))
        fail("a divergent barrier: some threads of the warp are at %s:%d, others at %s:%d", warp_place[warp].file,
             warp_place[warp].line, place.file, place.line);
    warp_place[warp] = place;
    states[linear_thread] = AT_WARP_BARRIER;
    if (++warp_arrivals[warp] == lanes) {
        warp_arrivals[warp] = 0;
        const uint64_t bits = shuffled ? random_bits() : 0;
        const uint16_t* order = lane_orders[bits >> 61];
        const unsigned start = bits >> 56 & (WARP - 1);
        const bool at_once = bits >> 55 & 1;  // before the threads of other warps
        for (unsigned i = 0; i < WARP; ++i) {
            const unsigned thread = first + order[(start + i) % WARP];
            if (thread >= thread_count) continue;
            states[thread] = RUNNABLE;
            if (at_once)
                enqueue_first(thread);
            else
                enqueue(thread);
        }
    }
    run_others();
}

void* exchange_memory(size_t) {
    return exchanged[linear_thread / WARP][exchanges[linear_thread] ^= 1];
}

char* open_shared(SharedArray& array) {
    array.block = block_number;
    array.next = opened;
    opened = &array;
    opened_bytes += array.bytes;
    if (opened_bytes > MAX_SHARED)
        fail("%zu bytes of shared memory; a block has %zu", opened_bytes, MAX_SHARED);
    memset(array.memory, POISON, array.bytes + 2 * GAP);
    return array.memory + GAP;
}

void fail(const char* format, ...) {
    int length = snprintf(message, sizeof message, "kernel %s, block (%u, %u, %u), thread (%u, %u, %u): ", kernel_name,
                          block_index.x, block_index.y, block_index.z, thread_index.x, thread_index.y, thread_index.z);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message + length, sizeof message - length, format, arguments);
    va_end(arguments);
    abandon();
}

// Run the kernel `function` on a grid; extents: grid x, y, z, block x, y, z. Returns null, or what went wrong.
extern "C" const char* cuda_cpu_launch(Entry function, const char* name, const unsigned* extents, size_t shared_bytes,
                                       unsigned seed, const void* arguments) {
    grid_extent = {extents[0], extents[1], extents[2]};
    block_extent = {extents[3], extents[4], extents[5]};
    thread_count = block_extent.x * block_extent.y * block_extent.z;
    entry = function;
    entry_arguments = arguments;
    kernel_name = name;
    if (!have_stacks) prepare_fibers();
    prepare_indices();
    prepare_orders(seed);
    prepare_dynamic(shared_bytes);
    const unsigned blocks = grid_extent.x * grid_extent.y * grid_extent.z;
    const unsigned start = shuffled ? random_below(blocks) : 0, step = coprime_step(blocks);
    failed = false;
    bool good = true;
    catch_faults();
    for (unsigned i = 0; good && i < blocks; ++i) good = run_block(unsigned((start + uint64_t(i) * step) % blocks));
    release_faults();
    if (failed) prepare_fibers();  // the abandoned threads' fibers can be used again
    return good ? nullptr : message;
}

}  // namespace cuda_cpu
