// The executor with threads, for the sanitizers: one operating-system thread for each CUDA thread, all blocks at once.
// A program that runs one launch: `program LAUNCH RESULT` reads the launch from a file, see sanitized.py, and writes
// what the arrays hold afterwards.
//
// This file is compiled without ThreadSanitizer, and synchronises by futexes (std::atomic::wait), which ThreadSanitizer
// does not see. It is told what a barrier orders, and nothing else. So it reports every pair of accesses that the
// kernel's own barriers do not order, whether or not they happened to collide.

#include <dlfcn.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "execution.h"

extern "C" {
// of the sanitizers; each program has those of one of them
void __tsan_acquire(void* address) __attribute__((weak));
void __tsan_release(void* address) __attribute__((weak));
void __asan_poison_memory_region(const volatile void* address, size_t bytes) __attribute__((weak));
void __asan_unpoison_memory_region(const volatile void* address, size_t bytes) __attribute__((weak));
}

namespace cuda_cpu {

__thread uint3 thread_index, block_index;
__thread unsigned linear_thread;
__thread char* dynamic_shared;
__thread unsigned long long block_number;
dim3 block_extent, grid_extent;

namespace {

constexpr size_t THREAD_STACK = 256 * 1024;
constexpr size_t MAX_ARRAYS = 64;  // shared arrays of a kernel
constexpr int FAILED = 3;  // the exit status after `fail`

class Lock {
  public:
    void lock() {
        while (held.exchange(1)) held.wait(1);
    }
    void unlock() {
        held = 0;
        held.notify_one();
    }

  private:
    std::atomic<int> held{0};
};

struct Barrier {
    unsigned expected = 0, arrived = 0;
    std::atomic<unsigned> phase{0};
    Place place = {"", 0};
    char ordered[2] = {};  // what ThreadSanitizer orders by, in turn: a thread may be one phase ahead of others
};

struct Block {
    Lock lock;
    unsigned threads = 0, waiting = 0, finished = 0;
    Barrier all;
    std::vector<Barrier> warps;
    char* memory = nullptr;  // shared memory and room for gaps
    size_t used = 0;
    std::vector<std::pair<SharedArray*, char*>> arrays;
    char* dynamic = nullptr;
    std::vector<char*> exchanged;  // two for each warp
};

// memory whose poison no sanitizer takes for an access of a thread
char* reserve(size_t bytes) {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("cuda_cpu: no memory");
        _exit(FAILED);
    }
    for (size_t i = 0; i < bytes; ++i) static_cast<volatile unsigned char*>(memory)[i] = POISON;
    if (__asan_poison_memory_region) __asan_poison_memory_region(memory, bytes);
    return static_cast<char*>(memory);
}

// Memory of exactly this size for AddressSanitizer; for others with room after it, so that no two arrays touch.
char* allocate(size_t bytes) {
    void* memory = nullptr;
    if (posix_memalign(&memory, 256, __asan_poison_memory_region ? bytes : bytes + 16 * GAP)) {
        fprintf(stderr, "cuda_cpu: no memory for %zu bytes\n", bytes);
        _exit(FAILED);
    }
    return static_cast<char*>(memory);
}

char* take(Block& block, size_t bytes) {
    char* memory = block.memory + block.used + GAP;
    block.used += GAP + (bytes + GAP - 1) / GAP * GAP;
    if (__asan_unpoison_memory_region) __asan_unpoison_memory_region(memory, bytes);
    return memory;
}

std::vector<Block>* blocks;
const char* kernel_name;
Entry entry;
const void* entry_arguments;
__thread Block* my_block;
__thread unsigned char exchanges;

// Called with the block's lock held.
void fail_if_stuck(const Block& block, Place place) {
    if (block.waiting && block.waiting + block.finished == block.threads)
        fail("a divergent barrier: of %u threads %u have returned and the others wait, the last one at %s:%d",
             block.threads, block.finished, place.file, place.line);
}

void wait(Barrier& barrier, Place place) {
    Block& block = *my_block;
    block.lock.lock();
    if (barrier.arrived && (place.line != barrier.place.line || strcmp(place.file, barrier.place.file)))
        fail("a divergent barrier: some threads are at %s:%d, others at %s:%d", barrier.place.file, barrier.place.line,
             place.file, place.line);
    barrier.place = place;
    const unsigned phase = barrier.phase;
    if (__tsan_release) __tsan_release(&barrier.ordered[phase % 2]);
    if (++barrier.arrived == barrier.expected) {
        barrier.arrived = 0;
        block.waiting -= barrier.expected - 1;
        barrier.phase = phase + 1;
        block.lock.unlock();
        barrier.phase.notify_all();
    } else {
        ++block.waiting;
        fail_if_stuck(block, place);
        block.lock.unlock();
        barrier.phase.wait(phase);
    }
    if (__tsan_acquire) __tsan_acquire(&barrier.ordered[phase % 2]);
}

void* run_thread(void* number) {
    const unsigned threads = block_extent.x * block_extent.y * block_extent.z;
    const unsigned block = unsigned(reinterpret_cast<uintptr_t>(number) / threads);
    linear_thread = unsigned(reinterpret_cast<uintptr_t>(number) % threads);
    thread_index = {linear_thread % block_extent.x, linear_thread / block_extent.x % block_extent.y,
                    linear_thread / block_extent.x / block_extent.y};
    block_index = {block % grid_extent.x, block / grid_extent.x % grid_extent.y, block / grid_extent.x / grid_extent.y};
    my_block = &(*blocks)[block];
    dynamic_shared = my_block->dynamic;
    entry(entry_arguments);
    my_block->lock.lock();
    ++my_block->finished;
    fail_if_stuck(*my_block, my_block->all.arrived ? my_block->all.place : my_block->warps[linear_thread / WARP].place);
    my_block->lock.unlock();
    return nullptr;
}

void prepare(Block& block, size_t dynamic_bytes) {
    block.threads = block.all.expected = block_extent.x * block_extent.y * block_extent.z;
    block.warps = std::vector<Barrier>((block.threads + WARP - 1) / WARP);
    for (size_t w = 0; w < block.warps.size(); ++w)
        block.warps[w].expected = std::min(WARP, unsigned(block.threads - w * WARP));
    const size_t exchange_bytes = 2 * block.warps.size() * (WARP * MAX_EXCHANGED + GAP);
    block.memory = reserve(exchange_bytes + 8 * MAX_SHARED + dynamic_bytes + 4 * GAP);
    block.dynamic = take(block, dynamic_bytes);
    block.arrays.reserve(MAX_ARRAYS);  // ThreadSanitizer would take malloc and free by two threads for a race
    for (size_t i = 0; i < 2 * block.warps.size(); ++i) block.exchanged.push_back(take(block, WARP * MAX_EXCHANGED));
}

void run(size_t dynamic_bytes) {
    const unsigned count = grid_extent.x * grid_extent.y * grid_extent.z;
    std::vector<Block> all(count);
    blocks = &all;
    for (Block& block : all) prepare(block, dynamic_bytes);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, THREAD_STACK);
    std::vector<pthread_t> threads(count * all[0].threads);
    for (size_t i = 0; i < threads.size(); ++i)  // none is joined before all have begun: that would order them
        if (pthread_create(&threads[i], &attributes, run_thread, reinterpret_cast<void*>(i))) {
            fprintf(stderr, "cuda_cpu: thread %zu of %zu cannot be created\n", i, threads.size());
            _exit(FAILED);
        }
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
}

class File {
  public:
    File(const char* path, const char* mode) : file(fopen(path, mode)) {
        if (!file) {
            perror(path);
            _exit(FAILED);
        }
    }
    ~File() { fclose(file); }
    void read(void* memory, size_t bytes) {
        if (fread(memory, 1, bytes, file) != bytes) {
            fprintf(stderr, "cuda_cpu: the launch is cut short\n");
            _exit(FAILED);
        }
    }
    uint64_t number() {
        uint64_t value;
        read(&value, sizeof value);
        return value;
    }
    void write(const void* memory, size_t bytes) { fwrite(memory, 1, bytes, file); }

  private:
    FILE* file;
};

}  // namespace

void wait_for_block(Place place) { wait(my_block->all, place); }

void wait_for_warp(Place place) { wait(my_block->warps[linear_thread / WARP], place); }

void* exchange_memory(size_t) { return my_block->exchanged[2 * (linear_thread / WARP) + (exchanges ^= 1)]; }

char* open_shared(SharedArray& array) {
    Block& block = *my_block;
    block.lock.lock();
    char* memory = nullptr;
    for (auto& [known, its_memory] : block.arrays)
        if (known == &array) memory = its_memory;
    if (!memory) {
        if (block.arrays.size() == MAX_ARRAYS) fail("more than %zu shared arrays", MAX_ARRAYS);
        memory = take(block, array.bytes);
        block.arrays.emplace_back(&array, memory);
    }
    block.lock.unlock();
    return memory;
}

void fail(const char* format, ...) {
    fprintf(stderr, "cuda_cpu: kernel %s, block (%u, %u, %u), thread (%u, %u, %u): ", kernel_name, block_index.x,
            block_index.y, block_index.z, thread_index.x, thread_index.y, thread_index.z);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    fflush(stderr);
    _exit(FAILED);
}

}  // namespace cuda_cpu

int main(int, char** arguments) {
    using namespace cuda_cpu;
    File launch(arguments[1], "rb");
    std::string name(launch.number(), '\0');
    launch.read(name.data(), name.size());
    kernel_name = name.c_str();
    entry = reinterpret_cast<Entry>(dlsym(RTLD_DEFAULT, ("cuda_cpu_entry_" + name).c_str()));
    unsigned extents[6];
    launch.read(extents, sizeof extents);
    grid_extent = {extents[0], extents[1], extents[2]};
    block_extent = {extents[3], extents[4], extents[5]};
    const size_t dynamic_bytes = launch.number();
    std::vector<std::pair<char*, size_t>> arrays(launch.number());
    for (auto& [memory, bytes] : arrays) {
        bytes = launch.number();
        memory = allocate(bytes);
        launch.read(memory, bytes);
    }
    std::vector<uint64_t> values(launch.number());
    for (uint64_t& value : values) {
        const uint64_t array = launch.number();  // 0 for a value, else 1 + the index of an array, and a position in it
        value = launch.number();
        if (array) value += reinterpret_cast<uint64_t>(arrays[array - 1].first);
    }
    entry_arguments = values.data();
    run(dynamic_bytes);
    File result(arguments[2], "wb");
    for (auto& [memory, bytes] : arrays) result.write(memory, bytes);
}
