// Rows of activations, cut into the tiles that a kernel takes.
#ifndef LOADSTONE_PARTS_H
#define LOADSTONE_PARTS_H

#include <algorithm>
#include <vector>

namespace ls {

struct Parts {
  struct Part {
    int first, rows;
    int size; // index of rows among the sizes
  };
  std::vector<Part> all;

  // Cuts rows into tiles, each as large as possible. sizes are the numbers of rows that a tile may
  // have, descending to 1.
  void cut(int rows, const int *sizes) {
    all.clear();
    of_.resize(rows);
    for (int r = 0, size = 0; r < rows; r += sizes[size]) {
      while (sizes[size] > rows - r) {
        size++;
      }
      std::fill_n(of_.begin() + r, sizes[size], int(all.size()));
      all.push_back({r, sizes[size], size});
    }
  }

  // The tile of a row.
  const Part &of(int row) const { return all[of_[row]]; }

private:
  std::vector<int> of_;
};

} // namespace ls

#endif
